//! Speech and pictures: routed by the model of a form or of JSON to the node that is said to serve it, which is woken for it.

use std::sync::Arc;

use ollama_proxy::config::{Config, HostPort, NodeKind};
use ollama_proxy::values::NodeName;
use serde_json::json;

use crate::client;
use crate::node::Node;
use crate::program::Scratch;
use crate::proxy::{Proxy, STRICT};
use crate::rig::Rig;
use crate::wire::Wire;

const WHISPER: &str = "whisper-large-v3";
const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b");

/// Beside the Ollama of the settings a speech server that tells no list.
fn with_speech_at(speech: &Node) -> impl FnOnce(&mut Config) + use<> {
    let speaks = speech.address;
    move |config| {
        let mut other = config.nodes[0].clone();
        other.name = NodeName::new("speech");
        other.hosts = vec![HostPort { host: speaks.ip().to_string(), port: speaks.port() }];
        other.kind = NodeKind::OpenAi;
        other.models = vec![WHISPER.to_owned()];
        config.nodes.push(other);
    }
}

fn part(head: &str, value: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
}

fn form(parts: &[String]) -> String {
    parts.concat() + "--b--\r\n"
}

#[tokio::test]
async fn a_transcription_wakes_the_node_of_its_model_wherever_that_stands_in_the_form() {
    let (ollama, mut speech, mut service) = (Node::with_models(&["m"]), Node::start(), Node::start());
    speech.sleep().await;
    let wake_url = service.url();
    let flags = [STRICT, ("wake-url", &*wake_url)];
    let proxy = Proxy::changed(&Arc::new(Scratch::new()), &ollama, &flags, with_speech_at(&speech));
    let file = part("name=\"file\"; filename=\"a.wav\"", "RIFF\0\u{1}");
    let model = part("name=\"model\"", WHISPER);
    let mut clients = Vec::new();
    let forms = [("transcriptions", form(&[file.clone(), model.clone()])), ("translations", form(&[model, file]))];
    for (route, form) in &forms {
        let mut client = Wire::connect(proxy.address).await;
        client.say(client::request(&format!("POST /v1/audio/{route}"), &[FORM], form)).await;
        proxy.until("/nodes", "\"state\":\"waking\"").await;
        clients.push(client);
    }
    proxy.until("/nodes", "\"held\":2").await;
    service.next().await.answer("200 OK", &[], "ok").await;
    speech.wake();
    let mut heard = 0;
    while heard < 2 {
        let mut asked = speech.next().await;
        if asked.head.asked() == "GET /health" {
            asked.answer("404 Not Found", &[], "").await;
            continue;
        }
        let (_, expected) = forms.iter().find(|(route, _)| asked.head.asked().ends_with(route)).unwrap();
        assert_eq!(String::from_utf8(asked.body().await).unwrap(), *expected);
        assert_eq!(asked.head.get("content-type"), Some(FORM.1));
        asked.answer_json(&json!({ "text": "hello" })).await;
        heard += 1;
    }
    for mut client in clients {
        let answer = client.answer("POST").await;
        assert_eq!((answer.status(), answer.head.get("x-ollama-proxy-node")), (200, Some("speech")));
        assert_eq!(answer.json(), json!({ "text": "hello" }));
    }
    assert!(ollama.seen().is_empty(), "{:?}", ollama.seen());
}

#[tokio::test]
async fn pictures_are_routed_by_the_model_of_their_json() {
    let (ollama, mut speech) = (Node::with_models(&["m"]), Node::start());
    let proxy = Proxy::changed(&Arc::new(Scratch::new()), &ollama, &[STRICT], with_speech_at(&speech));
    let (address, body) = (proxy.address, format!("{{\"prompt\":\"a cat\", \"model\":\"{WHISPER}\"}}"));
    let sent = body.clone();
    let asking = tokio::spawn(async move { client::post(address, "/v1/images/generations", &sent).await });
    let mut asked = speech.next().await;
    let heard = asked.body().await;
    assert_eq!((asked.head.asked(), heard), ("POST /v1/images/generations", body.into_bytes()));
    asked.answer_json(&json!({ "data": [] })).await;
    assert_eq!(asking.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_form_too_large_to_be_held_must_name_its_model_first() {
    let node = Node::swallowing();
    let proxy = Proxy::before(&[&node], &[STRICT, ("max-body", "2MiB")]);
    let file = part("name=\"file\"; filename=\"a.wav\"", &"x".repeat(3 << 20));
    let model = part("name=\"model\"", WHISPER);
    let behind = form(&[file.clone(), model.clone()]);
    let refused = client::ask(proxy.address, "POST /v1/audio/transcriptions", &[FORM], behind).await;
    assert_eq!(refused.status(), 413);
    assert!(refused.error().contains("in front of its file"), "{}", refused.text());
    let in_front = form(&[model, file]);
    assert_eq!(client::ask(proxy.address, "POST /v1/audio/transcriptions", &[FORM], in_front).await.status(), 201);
}

#[tokio::test]
async fn a_form_for_a_model_in_the_cloud_goes_there_under_the_providers_name_for_it() {
    let rig = Rig::start().await;
    let file = part("name=\"file\"; filename=\"a.wav\"", "RIFF openai/whisper-1");
    let body = form(&[file.clone(), part("name=\"model\"", "openai/whisper-1")]);
    let answer = client::ask(rig.address, "POST /v1/audio/transcriptions", &[FORM], body).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.head.get("x-ollama-proxy-node"), Some("openai"));
    let heard = rig.openai.heard().into_iter().find(|heard| heard.asked.starts_with("POST")).unwrap();
    assert_eq!(heard.raw, form(&[file, part("name=\"model\"", "whisper-1")]));
    assert_eq!(heard.header("content-type"), FORM.1);
    assert_eq!(rig.asked_of_node(), Vec::<String>::new());
}
