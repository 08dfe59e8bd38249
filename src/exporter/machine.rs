//! The machine itself: processor, memory, and what its GPUs draw, as far as it tells without any library. Looked at only when
//! somebody scrapes.

use std::fs;
use std::path::Path;

use super::elsewhere;
use crate::telemetry::metrics::{Kind, Page};
use crate::values::sort_by;

/// Kernels count processor time in these parts of a second, whatever their own clock is.
const TICKS: f64 = 100.0;

/// More GPUs than this are in no machine that stands at home.
const GPUS: usize = 16;

/// What one look saw; a figure that is missing was not to be had.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Seconds of all processors together: at work, and idle.
    cpu: Option<(f64, f64)>,
    /// Bytes: there at all, and available for more.
    memory: Option<(u64, u64)>,
    gpus: Vec<Gpu>,
}

#[derive(Clone, Debug, PartialEq)]
struct Gpu {
    name: String,
    watts: Option<f64>,
    /// Bytes: used, and there at all.
    memory: Option<(u64, u64)>,
}

/// Looks at the system whose root directory this is.
pub(super) fn look(root: &Path) -> Figures {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let mut gpus = amd_and_intel(&root.join("sys/class/drm"));
    // Without the driver the tool has nothing to tell; with a sleeping GPU it would be asked in vain for seconds.
    if root.join("proc/driver/nvidia/version").exists() || cfg!(windows) {
        let fields = "--query-gpu=index,name,power.draw,memory.used,memory.total";
        gpus.extend(nvidia(&elsewhere::run("nvidia-smi", &[fields, "--format=csv,noheader,nounits"])));
    }
    gpus.truncate(GPUS);
    Figures { cpu: cpu(&read("proc/stat")), memory: memory(&read("proc/meminfo")), gpus }
}

/// The first line of `/proc/stat`: user, nice, system, idle, waiting for disks, interrupts of two kinds, stolen.
fn cpu(text: &str) -> Option<(f64, f64)> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line.split_whitespace().filter_map(|field| field.parse().ok()).take(8).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(((ticks.iter().sum::<f64>() - idle) / TICKS, idle / TICKS))
}

fn memory(text: &str) -> Option<(u64, u64)> {
    let of = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some((of("MemTotal:")?, of("MemAvailable:")?))
}

/// What the kernel's own drivers tell below `/sys/class/drm`: microwatts of a sensor, bytes of video memory.
fn amd_and_intel(drm: &Path) -> Vec<Gpu> {
    let number = |path: &Path| fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let mut gpus = Vec::new();
    for card in names(drm).into_iter().filter(|name| name.starts_with("card") && !name.contains('-')).take(GPUS) {
        let device = drm.join(&card).join("device");
        let sensors = device.join("hwmon");
        let watts = names(&sensors).into_iter().find_map(|sensor| {
            let at = |file: &str| number(&sensors.join(&sensor).join(file));
            at("power1_average").or_else(|| at("power1_input"))
        });
        let memory = number(&device.join("mem_info_vram_used")).zip(number(&device.join("mem_info_vram_total")));
        if watts.is_some() || memory.is_some() {
            #[allow(clippy::cast_precision_loss, reason = "a GPU draws less than nine petawatts")]
            let watts = watts.map(|microwatts| microwatts as f64 / 1e6);
            gpus.push(Gpu { name: card, watts, memory });
        }
    }
    gpus
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    sort_by(&mut names, Ord::cmp);
    names
}

/// Lines of `index, name, watts, MiB used, MiB there`; `[N/A]` where the GPU does not tell.
fn nvidia(text: &str) -> Vec<Gpu> {
    const MIB: u64 = 1 << 20;
    let gpu = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [index, name, watts, used, total] = fields[..] else { return None };
        let memory = used.parse::<u64>().ok().zip(total.parse::<u64>().ok());
        Some(Gpu {
            name: format!("{index} {name}"),
            watts: watts.parse().ok().filter(|watts: &f64| watts.is_finite()),
            memory: memory.map(|(used, total)| (used * MIB, total * MIB)),
        })
    };
    text.lines().filter_map(gpu).collect()
}

impl Figures {
    pub(super) fn print(&self, node: &str, page: &mut Page) {
        if let Some((busy, idle)) = self.cpu {
            let mut lines =
                page.family("ollama_proxy_machine_cpu_seconds_total", "Time of all processors together", Kind::Counter);
            lines.value("", &[("node", node), ("mode", "busy")], busy);
            lines.value("", &[("node", node), ("mode", "idle")], idle);
        }
        if let Some((total, available)) = self.memory {
            let label = [("node", node)];
            page.family("ollama_proxy_machine_memory_bytes", "Memory of the machine", Kind::Gauge).whole("", &label, total);
            let help = "Memory that programs could still have";
            page.family("ollama_proxy_machine_memory_available_bytes", help, Kind::Gauge).whole("", &label, available);
        }
        let watts: Vec<_> = self.gpus.iter().filter_map(|gpu| Some((gpu.name.as_str(), gpu.watts?))).collect();
        if !watts.is_empty() {
            let mut lines = page.family("ollama_proxy_gpu_power_watts", "What the GPU draws, as it tells itself", Kind::Gauge);
            for (gpu, watts) in &watts {
                lines.value("", &[("node", node), ("gpu", gpu)], *watts);
            }
        }
        let memory: Vec<_> = self.gpus.iter().filter_map(|gpu| Some((gpu.name.as_str(), gpu.memory?))).collect();
        if !memory.is_empty() {
            let mut lines = page.family("ollama_proxy_gpu_memory_bytes", "Video memory of the GPU", Kind::Gauge);
            for (gpu, (_, total)) in &memory {
                lines.whole("", &[("node", node), ("gpu", gpu)], *total);
            }
            let mut lines = page.family("ollama_proxy_gpu_memory_used_bytes", "Video memory in use", Kind::Gauge);
            for (gpu, (used, _)) in &memory {
                lines.whole("", &[("node", node), ("gpu", gpu)], *used);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Format;

    fn page(figures: &Figures) -> String {
        let mut page = Page::new(Format::Text);
        figures.print("pc", &mut page);
        page.finish()
    }

    #[test]
    fn processor_memory_and_gpus_are_read_where_linux_and_its_drivers_put_them() {
        let root = std::env::temp_dir().join(format!("ollama-proxy-machine-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/stat", "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 100 0 50 800 50 0 0 0 0 0\n");
        write("proc/meminfo", "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\n");
        write("sys/class/drm/card0/device/hwmon/hwmon3/power1_average", "45500000\n");
        write("sys/class/drm/card0/device/mem_info_vram_used", "1024\n");
        write("sys/class/drm/card0/device/mem_info_vram_total", "4096\n");
        write("sys/class/drm/card0-HDMI-A-1/status", "connected\n");
        write("sys/class/drm/card1/device/vendor", "0x1a03\n");
        let figures = look(&root);
        fs::remove_dir_all(&root).unwrap();
        let gpu = Gpu { name: "card0".to_owned(), watts: Some(45.5), memory: Some((1024, 4096)) };
        assert_eq!(figures, Figures { cpu: Some((1.5, 8.5)), memory: Some((1_024_000, 614_400)), gpus: vec![gpu] });
        let page = page(&figures);
        for line in [
            "ollama_proxy_machine_cpu_seconds_total{node=\"pc\",mode=\"busy\"} 1.5\n",
            "ollama_proxy_machine_memory_available_bytes{node=\"pc\"} 614400\n",
            "ollama_proxy_gpu_power_watts{node=\"pc\",gpu=\"card0\"} 45.5\n",
            "ollama_proxy_gpu_memory_used_bytes{node=\"pc\",gpu=\"card0\"} 1024\n",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn what_nvidia_s_tool_does_not_know_is_left_out() {
        let text = "0, NVIDIA GeForce RTX 3090, 27.41, 310, 24576\n1, Tesla P40, [N/A], [N/A], 24576\nNo devices were found\n";
        let gpus = nvidia(text);
        assert_eq!(gpus[0].watts, Some(27.41));
        assert_eq!(gpus[0].memory, Some((310 << 20, 24576 << 20)));
        assert_eq!((gpus[1].name.as_str(), gpus[1].watts, gpus[1].memory), ("1 Tesla P40", None, None));
        assert_eq!(gpus.len(), 2);
    }

    #[test]
    fn a_system_that_tells_nothing_has_no_figures() {
        let figures = look(Path::new("/nowhere/at/all"));
        assert_eq!(figures, Figures::default());
        assert_eq!(page(&figures), "");
    }
}
