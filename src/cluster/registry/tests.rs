//! Who is who among workers: names, places, processes, and what is kept of them.

use super::*;

const TIMEOUT: Duration = Duration::from_secs(60);

fn registry() -> Registry {
    Registry::new(TIMEOUT, vec!["0.0.0.0:8000".parse().unwrap()], &BTreeMap::new())
}

fn told(id: &str, port: u16, instance: &str) -> Registration {
    Registration {
        worker_id: id.to_owned(),
        endpoint: Some(format!("http://localhost:{port}")),
        instance: Some(instance.to_owned()),
        mac: Some("a8:a1:59:00:00:01".to_owned()),
        ..Registration::default()
    }
}

/// The name that a worker gets which calls from the last number of 192.168.1.
fn named(registry: &Registry, from: u8, told: Registration) -> (String, bool) {
    let registered = registry.register(told, [192, 168, 1, from].into()).unwrap();
    (registered.id, registered.is_new)
}

fn says(id: &str, instance: &str, status: &str) -> Heartbeat {
    let (instance, status) = (Some(instance.to_owned()), Some(status.to_owned()));
    Heartbeat { worker_id: id.to_owned(), instance, status, ..Heartbeat::default() }
}

fn hears(registry: &Registry, from: u8, said: Heartbeat) -> bool {
    registry.heard(said, [192, 168, 1, from].into()).is_some()
}

fn ids(registry: &Registry) -> Vec<String> {
    registry.all().into_iter().map(|(id, _)| id).collect()
}

#[tokio::test(start_paused = true)]
async fn the_same_worker_is_replaced_and_a_second_living_one_gets_a_suffix() {
    let registry = registry();
    assert_eq!(named(&registry, 20, told("gpu", 8001, "a")), ("gpu".to_owned(), true));
    assert_eq!(named(&registry, 20, told("gpu", 8001, "a")), ("gpu".to_owned(), false));
    assert_eq!(named(&registry, 20, told("gpu", 8001, "restarted")), ("gpu".to_owned(), false), "the same place");
    assert_eq!(named(&registry, 21, told("gpu", 8001, "b")), ("gpu-2".to_owned(), true), "another machine");
    assert_eq!(named(&registry, 20, told("gpu", 8002, "c")), ("gpu-3".to_owned(), true), "another process");
    assert_eq!(named(&registry, 21, told("gpu", 8001, "b")), ("gpu-2".to_owned(), false), "it stays what it is");
    assert_eq!(named(&registry, 22, told("gpu", 8001, "b")), ("gpu-2".to_owned(), false), "it got another address");
    assert_eq!(ids(&registry), ["gpu", "gpu-2", "gpu-3"]);
    assert_eq!(registry.all()[1].1.at.to_string(), "192.168.1.22:8001");
}

#[tokio::test(start_paused = true)]
async fn a_word_that_comes_after_a_later_one_is_no_news() {
    let registry = registry();
    named(&registry, 20, told("gpu", 8001, "a"));
    let says = |status: &str, number| Heartbeat { number, ..says("gpu", "a", status) };
    let status = |said: Heartbeat| {
        let heard = registry.heard(said, [192, 168, 1, 20].into()).unwrap();
        (heard.is_old, heard.worker.status)
    };
    assert_eq!(status(says("healthy", Some(1))), (false, Status::Healthy));
    assert_eq!(status(says("healthy", Some(3))), (false, Status::Healthy));
    assert_eq!(status(says("sleeping", Some(2))), (true, Status::Healthy), "it stood still while the machine slept");
    assert_eq!(named(&registry, 20, told("gpu", 8001, "a")), ("gpu".to_owned(), false));
    assert_eq!(status(says("sleeping", Some(2))), (true, Status::Healthy), "the same process is the same count");
    assert_eq!(status(says("sleeping", None)), (false, Status::Sleeping), "an older worker does not count");
    assert_eq!(named(&registry, 20, told("gpu", 8001, "restarted")), ("gpu".to_owned(), false));
    let first = Heartbeat { instance: Some("restarted".to_owned()), ..says("healthy", Some(0)) };
    assert_eq!(status(first), (false, Status::Healthy), "a new process counts anew");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_free_once_its_worker_is_silent_or_sleeps() {
    let registry = registry();
    named(&registry, 20, told("gpu", 8001, "a"));
    tokio::time::advance(TIMEOUT).await;
    assert_eq!(named(&registry, 21, told("gpu", 8001, "b")), ("gpu".to_owned(), false));
    assert!(hears(&registry, 21, says("gpu", "b", "sleeping")));
    assert_eq!(named(&registry, 22, told("gpu", 8001, "c")), ("gpu".to_owned(), false));
    assert!(!hears(&registry, 21, says("gpu", "b", "healthy")), "it has to register again");
}

#[tokio::test(start_paused = true)]
async fn only_the_process_that_registered_is_heard_and_only_from_its_address() {
    let registry = registry();
    named(&registry, 20, told("gpu", 8001, "a"));
    assert!(hears(&registry, 20, says("gpu", "a", "healthy")));
    assert!(!hears(&registry, 21, says("gpu", "a", "healthy")), "another address");
    assert!(!hears(&registry, 20, says("gpu", "b", "healthy")), "another process");
    assert!(!hears(&registry, 20, says("other", "a", "healthy")));
    let nameless = Heartbeat { instance: None, ..says("gpu", "", "healthy") };
    assert!(hears(&registry, 20, nameless), "an older version does not tell");
}

#[tokio::test(start_paused = true)]
async fn whoever_listened_at_an_address_before_is_there_no_more() {
    let registry = registry();
    named(&registry, 20, told("old", 8001, "a"));
    named(&registry, 20, told("new", 8001, "b"));
    assert_eq!(ids(&registry), ["new"]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_told_to_leave_stays_leaving_until_it_registers() {
    let registry = registry();
    named(&registry, 20, told("gpu", 8001, "a"));
    assert!(registry.leaves("gpu", false).is_some() && registry.leaves("nobody", false).is_none());
    assert!(hears(&registry, 20, says("gpu", "a", "healthy")));
    assert!(!registry.nodes()[0].enabled);
    named(&registry, 20, told("gpu", 8001, "a"));
    assert!(registry.nodes()[0].enabled);
    assert!(registry.leaves("gpu", true).is_some() && registry.nodes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_node_of_a_worker_is_what_it_says_of_itself() {
    let registry = registry();
    let mut worker = told("gpu", 8001, "a");
    (worker.capacity, worker.model_id) = (Some(2), Some("llama3".to_owned()));
    named(&registry, 20, worker);
    let node = registry.nodes().remove(0);
    assert_eq!((node.name.as_str(), node.hosts[0].to_string().as_str()), ("gpu", "192.168.1.20:8001"));
    assert_eq!((node.capacity, &node.models[..], node.always_on), (Some(2), &["llama3".to_owned()][..], false));
    assert_eq!(node.wake.mac.unwrap().to_string(), "a8:a1:59:00:00:01");
    let mut steady = told("gpu", 8001, "a");
    steady.power.always_on = true;
    named(&registry, 20, steady);
    let node = registry.nodes().remove(0);
    assert!(node.always_on && node.wake.mac.is_none(), "what never sleeps is never woken");
}

#[tokio::test(start_paused = true)]
async fn names_of_nodes_in_the_settings_are_no_worker_s() {
    let registry = registry();
    registry.settle(&[NodeConfig::new(NodeName::new("gpu"), HostPort { host: "x".to_owned(), port: 1 }, String::new())]);
    assert_eq!(named(&registry, 20, told("gpu", 8001, "a")).0, "gpu");
    assert_eq!(registry.nodes()[0].name.as_str(), "gpu-2");
}

#[tokio::test(start_paused = true)]
async fn a_controller_is_no_worker_of_its_own_and_takes_no_more_than_its_bound() {
    let registry = registry();
    let here = registry.register(told("loop", 8000, "a"), [127, 0, 0, 1].into());
    assert_eq!(here.unwrap_err(), NotTaken::Ourselves);
    for number in 0..WORKERS {
        let port = u16::try_from(1000 + number).unwrap();
        registry.register(told(&format!("w{number}"), port, &number.to_string()), [10, 0, 0, 1].into()).unwrap();
    }
    let one_more = registry.register(told("more", 999, "x"), [10, 0, 0, 1].into());
    assert_eq!(one_more.unwrap_err(), NotTaken::Full);
    assert!(registry.register(told("w0", 1000, "0"), [10, 0, 0, 1].into()).is_ok(), "known ones go on");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_only_one_interface_knows_is_no_worker_s() {
    let refused = registry().register(told("gpu", 8001, "a"), "fe80::1".parse().unwrap());
    assert!(matches!(refused, Err(NotTaken::Refused(Refusal::Bad(why))) if why.contains("IPv4")));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_workers_comes_back_and_moments_are_not_kept() {
    let registry = registry();
    named(&registry, 20, told("gpu", 8001, "a"));
    let kept = registry.kept();
    assert!(hears(
        &registry,
        20,
        Heartbeat { current_load: 3, loaded_models: Some(vec!["m".to_owned()]), ..says("gpu", "a", "healthy") }
    ));
    assert_eq!(registry.kept(), kept, "a heartbeat is not worth a write");
    let again = Registry::new(TIMEOUT, Vec::new(), &kept);
    assert_eq!(again.nodes(), registry.nodes());
    assert!(hears(&again, 20, says("gpu", "a", "healthy")), "it goes on telling without a word");
    let damaged = BTreeMap::from([("gpu".to_owned(), RawJson::new(b"{\"told\":7}").unwrap())]);
    assert!(Registry::new(TIMEOUT, Vec::new(), &damaged).nodes().is_empty());
}
