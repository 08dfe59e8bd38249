//! Puts streamed tool calls in order: providers send them in fragments that may alternate, clients get one after the other.

use super::fields::is_object;
use super::speech::Said;
use super::talk::Call;
use crate::values::Fault;

use super::trouble::broken;

/// Calls of one answer, and bytes of all their arguments together.
const MOST_CALLS: usize = 128;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// A fragment as it came.
#[derive(Debug, Default)]
pub(crate) struct Fragment<'a> {
    pub(crate) index: Option<u64>,
    pub(crate) id: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) arguments: &'a str,
}

/// The calls of one answer.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    slots: Vec<Slot>,
    /// The one that is being told; those before it have ended.
    current: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Slot {
    index: u64,
    call: Call,
    begun: bool,
    /// How much of its arguments has been told.
    told: usize,
}

impl Calls {
    /// Takes a fragment in and tells what can be told in order.
    pub(crate) fn take(&mut self, fragment: &Fragment<'_>, out: &mut Vec<Said>) -> Result<(), Fault> {
        let at = self.slot(fragment)?;
        self.bytes += fragment.arguments.len();
        if self.bytes > MOST_BYTES {
            return Err(broken("its tool calls are longer than we hold"));
        }
        let slot = &mut self.slots[at];
        if let Some(name) = fragment.name.filter(|name| !name.is_empty() && !slot.begun) {
            name.clone_into(&mut slot.call.name);
        }
        if let Some(id) = fragment.id.filter(|id| !id.is_empty() && slot.call.id.is_empty()) {
            id.clone_into(&mut slot.call.id);
        }
        slot.call.arguments.push_str(fragment.arguments);
        while self.current < at && is_object(&self.slots[self.current].call.arguments) {
            self.end_current(out)?;
        }
        if self.current == at {
            self.tell_current(out);
        }
        Ok(())
    }

    /// No more fragments come: every call is told to its end.
    pub(crate) fn finish(&mut self, out: &mut Vec<Said>) -> Result<(), Fault> {
        while self.current < self.slots.len() {
            self.end_current(out)?;
        }
        Ok(())
    }

    /// The call that a fragment belongs to. The same index with another id is a new call: Ollama and others give every
    /// call the index 0. Without an index the id tells, else it is the last one.
    fn slot(&mut self, fragment: &Fragment<'_>) -> Result<usize, Fault> {
        let id = fragment.id.filter(|id| !id.is_empty());
        let found = match (fragment.index, id) {
            (Some(index), _) => self.slots.iter().rposition(|slot| slot.index == index),
            (None, Some(id)) => self.slots.iter().rposition(|slot| slot.call.id == id),
            (None, None) => self.slots.len().checked_sub(1),
        };
        let is_another = |slot: &Slot| id.is_some_and(|id| !slot.call.id.is_empty() && slot.call.id != id);
        if let Some(at) = found.filter(|at| !is_another(&self.slots[*at])) {
            if at < self.current && !fragment.arguments.is_empty() {
                return Err(broken("it went on with a tool call that had ended"));
            }
            return Ok(at);
        }
        if self.slots.len() >= MOST_CALLS {
            return Err(broken("it makes more tool calls than we hold"));
        }
        let index = fragment.index.unwrap_or(self.slots.len() as u64);
        self.slots.push(Slot { index, ..Slot::default() });
        Ok(self.slots.len() - 1)
    }

    /// Tells what is new of the current call, once its name is known.
    fn tell_current(&mut self, out: &mut Vec<Said>) {
        let at = self.current;
        let Some(slot) = self.slots.get_mut(at).filter(|slot| !slot.call.name.is_empty()) else { return };
        if !slot.begun {
            slot.begun = true;
            if slot.call.id.is_empty() {
                slot.call.id = made_id(0, at);
            }
            out.push(Said::CallBegin { id: slot.call.id.clone(), name: slot.call.name.clone() });
        }
        if slot.told < slot.call.arguments.len() {
            out.push(Said::CallPart(slot.call.arguments[slot.told..].to_owned()));
            slot.told = slot.call.arguments.len();
        }
    }

    /// Ends the current call. Arguments that are no object are an error: `{}` in their place would call a tool wrongly.
    fn end_current(&mut self, out: &mut Vec<Said>) -> Result<(), Fault> {
        let slot = &mut self.slots[self.current];
        if slot.call.name.is_empty() {
            return Err(broken("it calls a tool without a name"));
        }
        if slot.call.arguments.trim_ascii().is_empty() {
            "{}".clone_into(&mut slot.call.arguments);
            slot.told = 0;
        }
        if !is_object(&slot.call.arguments) {
            return Err(broken(&format!("the arguments of its call of {} are no JSON object", slot.call.name)));
        }
        self.tell_current(out);
        out.push(Said::CallEnd(std::mem::take(&mut self.slots[self.current].call)));
        self.current += 1;
        Ok(())
    }
}

/// An id for a call that came without one: the same for the same place, so that a repeated request is the same.
pub(crate) fn made_id(message: usize, call: usize) -> String {
    format!("call_{:04}{:04}", message % 10_000, call % 10_000)
}
