//! What the PC itself must be told, per operating system. We cannot see from here which one it has, so all are shown.

/// For whoever's PC does not wake or does not stay awake.
pub(super) const HINTS: &str = "\
If a PC does not wake, or does not stay awake
  Firmware  Switch on Wake on LAN (often \"Power on by PCI-E\"), switch off ErP and deep sleep; use a cable, not Wi-Fi.
  Windows   It goes back to sleep two minutes after a wake by packet. As administrator:
              powercfg /setacvalueindex SCHEME_CURRENT SUB_SLEEP UNATTENDSLEEP 1800
              powercfg /setactive SCHEME_CURRENT
            Switch off Fast Startup: with it a PC that was shut down does not wake; one that sleeps does.
            Device Manager, network card, Power Management: allow it to wake the computer, and \"only allow a magic packet\",
            or every probe wakes it.
  Linux     ethtool -s eth0 wol g          until the next start; for good, as /etc/systemd/network/50-wake.link:
              [Match]
              MACAddress=<MAC of the card>
              [Link]
              NamePolicy=kernel database onboard slot path
              WakeOnLan=magic
  macOS     sudo pmset -c womp 1           \"Wake for network access\"
            It may sleep again soon after a wake; caffeinate -i -t 1800 on the Mac holds it for half an hour.";
