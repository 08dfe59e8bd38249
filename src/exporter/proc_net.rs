//! `/proc/net/tcp` and `/proc/net/tcp6`: every TCP socket of this network namespace with its state.

use super::states::Counts;

/// Counts the sockets whose local port is `port`. The header and damaged lines count for nothing.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "read on Linux, tested everywhere"))]
pub(super) fn count(table: &str, port: u16, counts: &mut Counts) {
    for line in table.lines() {
        let mut fields = line.split_whitespace().skip(1);
        let (Some(local), Some(_), Some(state)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let of_port = local.rsplit_once(':').and_then(|(_, hex)| u16::from_str_radix(hex, 16).ok()) == Some(port);
        if let Some(state) = u8::from_str_radix(state, 16).ok().filter(|_| of_port) {
            counts.add_number(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_the_port_are_counted_by_state_and_a_client_s_end_is_not() {
        let v4 = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                  \x20  0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n\
                  \x20  1: 0100007F:2CAA 0100007F:D431 01 00000000:00000000 00:00000000 00000000\n\
                  \x20  2: 0100007F:D431 0100007F:2CAA 01 00000000:00000000 00:00000000 00000000\n\
                  \x20  3: 0100007F:2CAB 0100007F:D432 01 00000000:00000000 00:00000000 00000000\n";
        let v6 = "  sl  local_address                         remote_address                        st\n\
                  \x20  0: 0000000000000000FFFF00000100007F:2CAA 0000000000000000FFFF00000200007F:D433 06 0\n\
                  broken\n 1: x y z\n";
        let mut counts = Counts::default();
        count(v4, 11434, &mut counts);
        count(v6, 11434, &mut counts);
        assert_eq!(["LISTEN", "ESTABLISHED", "TIME_WAIT", "OTHER"].map(|name| counts.get(name)), [1, 1, 1, 0]);
    }
}
