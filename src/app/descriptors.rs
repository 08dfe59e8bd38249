//! How many sockets this process may have open, made fit for the clients it is to serve.
//!
//! Many systems start a program with a limit of 1,024, which is enough for some 470 streams: beyond that no client would be
//! accepted any more, and no node reached.

/// A client takes one, and its node another.
const PER_CLIENT: u64 = 2;

/// Files, listeners, resting connections, outward calls.
const BESIDES: u64 = 96;

/// How many clients at once there may be out of `wanted`. Raises the limit of this process where the system lets it.
pub(super) fn clients(wanted: usize) -> usize {
    let Some(may_open) = raised(needed(wanted)) else { return wanted };
    let clients = enough_for(may_open).min(wanted);
    if clients < wanted {
        tracing::warn!(
            "this process may open {may_open} files and sockets, which serves {clients} clients at once and not {wanted}: raise \
             its limit (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of a container) or lower --max-connections"
        );
    }
    clients
}

fn needed(clients: usize) -> u64 {
    u64::try_from(clients).unwrap_or(u64::MAX).saturating_mul(PER_CLIENT).saturating_add(BESIDES)
}

fn enough_for(descriptors: u64) -> usize {
    let clients = descriptors.saturating_sub(BESIDES) / PER_CLIENT;
    usize::try_from(clients).unwrap_or(usize::MAX).max(1)
}

/// The limit after the attempt to raise it to `wanted`; `None` where there is none.
#[cfg(target_os = "linux")]
fn raised(wanted: u64) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    if current >= wanted {
        return Some(current);
    }
    let possible = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: limit.maximum });
    Some(if raised.is_ok() { possible.max(current) } else { current })
}

/// Elsewhere it is left as it is.
#[cfg(not(target_os = "linux"))]
fn raised(_: u64) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_limit_serves_fewer_clients_than_the_default_allows() {
        assert_eq!(enough_for(1024), 464);
        assert_eq!(needed(1024), 2144);
        assert!(enough_for(needed(1024)) >= 1024);
        assert_eq!((enough_for(0), needed(usize::MAX)), (1, u64::MAX));
    }
}
