//! The two ways to wake a machine. Nobody outside `fleet` may use them; when they are used, `fleet::power` decides.

pub(super) mod interfaces;
pub(super) mod packet;
pub(super) mod url;
