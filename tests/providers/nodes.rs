//! Nodes of kind openai: servers at home that speak OpenAI's dialect, asked by clients of every dialect, woken and left
//! alone like any other node.

use std::sync::Arc;
use std::time::Duration;

use ollama_proxy::config::NodeKind;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{self, Answer};
use crate::node::Node;
use crate::openai;
use crate::program::Scratch;
use crate::proxy::{Proxy, STRICT};
use crate::rig::{events, lines};
use crate::server::{Heard, Server};
use crate::wire::{PATIENCE, SOON, Wire};

const CHAT: &str = "POST /v1/chat/completions";
const MODEL: &str = "gpt-4o-mini";

/// The proxy in front of one such server, whose list is known.
struct House {
    proxy: Proxy,
    server: Server,
}

impl House {
    async fn start() -> Self {
        let server = openai::local().await;
        let proxy = in_front_of(&server, "");
        proxy.until("/v1/models", MODEL).await;
        Self { proxy, server }
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        client::post(self.proxy.address, path, &body.to_string()).await
    }

    /// What came beyond lists.
    fn asked(&self) -> Vec<Heard> {
        self.server.heard().into_iter().filter(|heard| heard.asked != "GET /v1/models").collect()
    }

    fn only(&self) -> Heard {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }
}

/// `more` are further members of the list of nodes.
fn in_front_of(server: &Server, more: &str) -> Proxy {
    let scratch = Arc::new(Scratch::new());
    let file = format!(r#"{{"nodes":[{{"name":"studio","kind":"openai","hosts":["http://{}/v1"]}}{more}]}}"#, server.address);
    std::fs::write(scratch.path().join("node_config.json"), file).unwrap();
    Proxy::by_file(&scratch, &[])
}

fn chat(words: &str, stream: bool) -> Value {
    json!({ "model": MODEL, "max_tokens": 9, "stream": stream, "messages": [{ "role": "user", "content": words }] })
}

#[tokio::test]
async fn its_models_stand_in_every_list_and_it_is_asked_for_one_list_only() {
    let house = House::start().await;
    let tags = client::get(house.proxy.address, "/api/tags").await.json();
    let names: Vec<&str> = tags["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 4, "{tags}");
    assert!(names.contains(&MODEL) && names.contains(&"whisper-1"));
    for body in [json!({ "model": MODEL }), json!({ "model": "gpt-4o-mini:latest", "verbose": true })] {
        let show = house.post("/api/show", &body).await;
        assert_eq!(show.status(), 200, "{}", show.text());
        let show = show.json();
        assert_eq!(show["capabilities"], json!(["completion", "tools"]));
        assert!(show["model_info"]["openai.context_length"].is_u64());
    }
    assert_eq!(house.post("/api/show", &json!({ "model": "llama3:70b" })).await.status(), 404);
    let nodes = client::get(house.proxy.address, "/nodes").await.json();
    let node = &nodes["nodes"][0];
    assert_eq!((&node["name"], &node["kind"], &node["power"]["state"]), (&json!("studio"), &json!("openai"), &json!("awake")));
    assert_eq!(node["models"].as_array().unwrap().len(), 4);
    assert_eq!(client::get(house.proxy.address, "/api/ps").await.json(), json!({ "models": [] }));
    assert_eq!(house.asked().len(), 0, "{:?}", house.asked());
}

#[tokio::test]
async fn an_openai_client_and_the_server_hear_each_others_very_bytes() {
    let house = House::start().await;
    let body = "{ \"model\" : \"gpt-4o-mini\",\"stream\":true, \"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}] , \"n\":1 }";
    let through = client::post(house.proxy.address, "/v1/chat/completions", body).await;
    let direct = client::post(house.server.address, "/v1/chat/completions", body).await;
    assert_eq!((through.status(), through.text()), (200, direct.text()));
    assert_eq!(through.head.get("x-ollama-proxy-node"), Some("studio"));
    assert_eq!(house.asked()[0].raw, body);
    let refused = client::post(house.proxy.address, "/v1/chat/completions", r#"{"model":"gpt-4o-mini","messages":[]}"#).await;
    assert_eq!((refused.status(), &refused.json()["error"]["code"]), (400, &json!("empty_array")));
}

#[tokio::test]
async fn a_tag_that_clients_append_is_not_told_to_the_server() {
    let house = House::start().await;
    let mut body = chat("Hi", false);
    body["model"] = "gpt-4o-mini:latest".into();
    assert_eq!(house.post("/v1/chat/completions", &body).await.status(), 200);
    assert_eq!(house.only().body["model"], MODEL);
}

#[tokio::test]
async fn a_native_chat_streams_from_it_in_ollamas_own_shape() {
    let house = House::start().await;
    let body = json!({ "model": "gpt-4o-mini:latest", "messages": [{ "role": "user", "content": "Hi" }], "options": { "num_predict": 128, "num_thread": 8 } });
    let answer = house.post("/api/chat", &body).await;
    assert_eq!((answer.status(), answer.head.get("content-type")), (200, Some("application/x-ndjson")));
    assert_eq!(answer.head.get("x-ollama-proxy-node"), Some("studio"));
    assert_eq!(answer.head.get("x-ollama-proxy-dropped"), Some("num_thread"));
    let lines = lines(&answer);
    let text: String = lines.iter().map(|line| line["message"]["content"].as_str().unwrap()).collect();
    assert_eq!(text, "Hello there ü");
    assert!(lines.iter().all(|line| line["model"] == "gpt-4o-mini:latest"));
    let (last, before) = lines.split_last().unwrap();
    assert!(before.iter().all(|line| line["done"] == false));
    assert_eq!((&last["done"], &last["done_reason"], &last["eval_count"]), (&json!(true), &json!("stop"), &json!(4)));
    let heard = house.only();
    assert_eq!(heard.asked, CHAT);
    assert_eq!((&heard.body["model"], &heard.body["max_tokens"]), (&json!(MODEL), &json!(128)));
    assert_eq!(heard.header("content-length"), heard.raw.len().to_string());
}

#[tokio::test]
async fn native_and_anthropic_clients_get_whole_answers_streams_and_embeddings() {
    let house = House::start().await;
    let whole = house.post("/api/generate", &json!({ "model": MODEL, "prompt": "Hi", "stream": false })).await.json();
    assert_eq!((&whole["response"], &whole["done"]), (&json!("Hello there ü"), &json!(true)));
    let whole = house.post("/v1/messages", &chat("Hi", false)).await.json();
    assert_eq!((&whole["type"], &whole["content"][0]["text"]), (&json!("message"), &json!("Hello there ü")));
    let stream = house.post("/v1/messages", &chat("Hi", true)).await;
    assert_eq!(events(&stream).last().unwrap()["type"], "message_stop");
    let model = "text-embedding-3-small";
    let embedded = house.post("/api/embed", &json!({ "model": model, "input": ["a", "b"] })).await.json();
    assert_eq!(embedded["embeddings"], json!([[0.5, -0.25, 0.125], [0.5, -0.25, 0.125]]), "{embedded}");
    let older = house.post("/api/embeddings", &json!({ "model": model, "prompt": "a" })).await.json();
    assert_eq!(older, json!({ "embedding": [0.5, -0.25, 0.125] }));
    assert!(house.server.bodies("POST /v1/embeddings").iter().all(|body| body["encoding_format"].is_null()));
}

#[tokio::test]
async fn its_errors_are_told_in_the_clients_dialect() {
    let house = House::start().await;
    let refused =
        house.post("/api/chat", &json!({ "model": MODEL, "messages": [{ "role": "user", "content": "too fast" }] })).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.json()["error"].as_str().unwrap().starts_with("node studio: Rate limit"), "{}", refused.text());
    let unauthorized = house.post("/api/chat", &chat("revoked key", false)).await;
    assert_eq!(unauthorized.status(), 502, "a 401 would have Ollama's own clients sign in at ollama.com");
    let hidden = house.post("/v1/messages", &chat("first error", true)).await;
    assert_eq!((hidden.status(), &hidden.json()["error"]["type"]), (429, &json!("rate_limit_error")), "{}", hidden.text());
    for words in ["late error", "end early", "break off"] {
        let late = house.post("/api/chat", &chat(words, true)).await;
        let lines = lines(&late);
        assert_eq!((late.status(), lines[0]["message"]["content"].as_str()), (200, Some("Hello")), "{words}");
        assert!(lines.last().unwrap()["error"].is_string() && lines.len() == 2, "{words}: {}", late.text());
    }
}

#[tokio::test]
async fn what_its_model_does_not_take_is_left_out_and_not_sent_a_second_time() {
    let house = House::start().await;
    let options = json!({ "num_predict": 64, "temperature": 0.2, "top_p": 0.9, "seed": 3 });
    let messages = json!([{ "role": "user", "content": "Hi" }]);
    let native = json!({ "model": "o4-mini", "messages": messages, "options": options });
    for (path, tries, body) in [
        ("/api/chat", 4, native.clone()),
        ("/api/chat", 5, native),
        // Another dialect asks for the same model.
        ("/v1/messages", 6, json!({ "model": "o4-mini:latest", "max_tokens": 64, "temperature": 0.2, "messages": messages })),
    ] {
        let answer = house.post(path, &body).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let dropped = if path == "/api/chat" { "temperature, top_p" } else { "temperature" };
        assert_eq!(answer.head.get("x-ollama-proxy-dropped"), Some(dropped));
        assert_eq!(house.asked().len(), tries, "three refusals, each once");
    }
    let last = house.asked()[4].body.clone();
    assert_eq!((&last["max_completion_tokens"], &last["seed"]), (&json!(64), &json!(3)), "a limit keeps its meaning");
    let other = json!({ "model": MODEL, "stream": false, "messages": messages, "options": { "temperature": 0.2 } });
    assert_eq!(house.post("/api/chat", &other).await.head.get("x-ollama-proxy-dropped"), None, "another model is another matter");
    // Who speaks OpenAI's dialect hears the server's own refusal.
    let own = json!({ "model": "o4-mini", "temperature": 0.2, "messages": messages });
    let refused = house.post("/v1/chat/completions", &own).await;
    assert_eq!((refused.status(), &refused.json()["error"]["code"]), (400, &json!("unsupported_value")));
    assert_eq!(house.asked().len(), 8);
}

#[tokio::test]
async fn what_only_ollama_does_is_answered_here_or_refused_and_never_asked_of_it() {
    let house = House::start().await;
    let unload = house.post("/api/chat", &json!({ "model": MODEL, "messages": [], "keep_alive": 0 })).await.json();
    assert_eq!((&unload["done_reason"], &unload["done"]), (&json!("unload"), &json!(true)));
    let count = house.post("/v1/messages/count_tokens", &chat("Hi", false)).await;
    assert!(count.json()["input_tokens"].as_u64().unwrap() > 0);
    let raw = house.post("/api/generate", &json!({ "model": MODEL, "prompt": "a", "suffix": "b" })).await;
    assert_eq!(raw.status(), 400, "{}", raw.text());
    let pull = house.post("/api/pull", &json!({ "model": "llama3:70b" })).await;
    assert_eq!(pull.status(), 503, "{}", pull.text());
    assert!(pull.error().contains("it is no Ollama"), "{}", pull.text());
    assert_eq!(house.asked().len(), 0, "{:?}", house.asked());
    // A load is a wish for the node: it is reached, and asked for nothing that costs.
    let load = house.post("/api/generate", &json!({ "model": MODEL })).await.json();
    assert_eq!((&load["done_reason"], &load["done"]), (&json!("load"), &json!(true)));
    assert_eq!(house.only().asked, "GET /health");
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_generation() {
    let house = House::start().await;
    let mut wire = Wire::connect(house.proxy.address).await;
    wire.say(client::request("POST /api/chat", &[], chat("never end", true).to_string())).await;
    timeout(PATIENCE, async {
        while house.server.taken() < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it never begins");
    drop(wire);
    timeout(PATIENCE, async {
        while house.server.dropped() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it goes on");
}

#[tokio::test]
async fn it_is_woken_and_waited_for_until_it_has_loaded_and_nothing_is_preloaded() {
    let (mut node, mut service) = (Node::start(), Node::start());
    node.sleep().await;
    let wake_url = service.url();
    let proxy = Proxy::changed(&Arc::new(Scratch::new()), &node, &[STRICT, ("wake-url", &wake_url)], |config| {
        config.nodes[0].kind = NodeKind::OpenAi;
        config.nodes[0].models = vec!["m".to_owned()];
    });
    let mut client = Wire::connect(proxy.address).await;
    client.say(client::request("POST /api/chat", &[], r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#)).await;
    service.next().await.answer("200 OK", &[], "ok").await;
    // Its own connect is given up: what the kernel sends of it once more would find the node awake too.
    proxy.until("/nodes", "\"held\":1").await;
    node.wake();
    // As llama.cpp answers while it loads: nothing else is asked of it as long as it does.
    for _ in 0..3 {
        let mut loading = node.next().await;
        assert_eq!(loading.head.asked(), "GET /health");
        loading.answer("503 Service Unavailable", &[], r#"{"error":{"message":"Loading model","code":503}}"#).await;
    }
    let mut asked = node.next().await;
    while asked.head.asked() == "GET /health" {
        asked.answer("200 OK", &[], r#"{"status":"ok"}"#).await;
        asked = node.next().await;
    }
    assert_eq!(asked.head.asked(), CHAT);
    asked.begin("text/event-stream").await;
    asked.chunk("data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n").await;
    asked.end().await;
    let answer = client.answer("POST").await;
    assert_eq!(lines(&answer)[0]["message"]["content"], "hi", "{}", answer.text());
    assert!(node.seen().iter().all(|asked| asked == CHAT || asked == "GET /health"), "{:?}", node.seen());
}

#[tokio::test]
async fn a_silent_generation_is_not_disturbed_by_a_list() {
    let mut node = Node::start();
    let proxy =
        Proxy::changed(&Arc::new(Scratch::new()), &node, &[("model-timeout", "1s"), ("health-interval", "1s")], |config| {
            config.nodes[0].kind = NodeKind::OpenAi;
            config.nodes[0].always_on = true;
        });
    let mut listing = node.next().await;
    assert_eq!(listing.head.asked(), "GET /v1/models");
    listing.answer_json(&json!({ "object": "list", "data": [{ "id": "m" }] })).await;
    proxy.until("/v1/models", "\"m\"").await;
    let address = proxy.address;
    let asking = tokio::spawn(async move {
        client::post(address, "/v1/chat/completions", r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#).await
    });
    let mut working = None;
    let mut checks = 0;
    while checks < 3 {
        let mut asked = node.next().await;
        match asked.head.asked() {
            CHAT => working = Some(asked),
            "GET /health" => {
                asked.answer("404 Not Found", &[], "").await;
                checks += 1;
            }
            // Only before the work began.
            "GET /v1/models" if working.is_none() => {
                asked.answer_json(&json!({ "object": "list", "data": [{ "id": "m" }] })).await;
            }
            other => panic!("{other} while it works"),
        }
    }
    working.unwrap().answer_json(&json!({ "choices": [{ "message": { "role": "assistant", "content": "hi" } }] })).await;
    assert_eq!(asking.await.unwrap().status(), 200);
}

#[tokio::test]
async fn each_attempt_is_put_in_its_nodes_own_words() {
    let mut ollama = Node::with_models(&["m"]);
    let mut studio = Node::start();
    let flags = [STRICT, ("strategy", "weighted_round_robin")];
    let proxy = Proxy::changed(&Arc::new(Scratch::new()), &ollama, &flags, |config| {
        let mut other = config.nodes[0].clone();
        other.name = ollama_proxy::values::NodeName::new("studio");
        other.hosts = vec![ollama_proxy::config::HostPort { host: studio.address.ip().to_string(), port: studio.address.port() }];
        other.kind = NodeKind::OpenAi;
        other.weight = 9.0;
        config.nodes.insert(0, other);
        for node in &mut config.nodes {
            node.models = vec!["m".to_owned()];
            node.always_on = true;
        }
    });
    let address = proxy.address;
    let body = r#"{"model":"m", "messages":[{"role":"user","content":"hello"}]}"#;
    let asking = tokio::spawn(async move { client::post(address, "/api/chat", body).await });
    let mut first = studio.next().await;
    assert_eq!(first.head.asked(), CHAT);
    first.answer("503 Service Unavailable", &[], r#"{"error":{"message":"Loading model"}}"#).await;
    let mut second = ollama.next().await;
    assert_eq!(second.head.asked(), "POST /api/chat");
    assert_eq!(second.body().await, body.as_bytes(), "Ollama hears the client's own bytes");
    second.answer_chat().await;
    let answer = asking.await.unwrap();
    assert_eq!((answer.text().as_str(), answer.head.get("x-ollama-proxy-node")), (crate::node::CHAT_ANSWER, Some("node1")));
    // A name that the other server does not list is Ollama's to refuse.
    let asking = tokio::spawn(async move {
        client::post(address, "/api/chat", r#"{"model":"x","messages":[{"role":"user","content":"hello"}]}"#).await
    });
    let mut refused = timeout(PATIENCE, ollama.next()).await.unwrap();
    refused.answer("404 Not Found", &[], r#"{"error":"model 'x' not found"}"#).await;
    assert_eq!(asking.await.unwrap().status(), 404);
}

#[tokio::test]
async fn with_the_repair_an_openai_chat_is_put_to_ollama_in_its_own_words() {
    let mut node = Node::with_models(&["m"]);
    let proxy = Proxy::before(&[&node], &[STRICT, ("repair-v1", "true")]);
    let address = proxy.address;
    let asking = tokio::spawn(async move {
        let body = r#"{"model":"m","stream":true,"max_completion_tokens":7,"messages":[{"role":"developer","content":"be brief"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#;
        client::post(address, "/v1/chat/completions", body).await
    });
    let mut asked = node.next().await;
    assert_eq!(asked.head.asked(), "POST /api/chat");
    let body: Value = serde_json::from_slice(&asked.body().await).unwrap();
    assert_eq!(body["options"]["num_predict"], 7, "{body}");
    assert_eq!(body["messages"][0]["role"], "system");
    assert_eq!(body["messages"].as_array().unwrap().len(), 2, "parts are one message: {body}");
    asked.begin("application/x-ndjson").await;
    asked.chunk("{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"hi\"},\"done\":false}\n").await;
    asked.chunk("{\"error\":\"the GPU is gone\"}\n").await;
    asked.end().await;
    let answer = timeout(SOON.max(PATIENCE), asking).await.unwrap().unwrap();
    let events = events(&answer);
    assert_eq!(events[0]["choices"][0]["delta"]["content"], "hi", "{}", answer.text());
    assert!(answer.text().contains("the GPU is gone") && !answer.text().contains("[DONE]"), "{}", answer.text());
}

#[tokio::test]
async fn an_id_that_is_no_uuid_is_kept_from_a_server_that_may_refuse_it() {
    let house = House::start().await;
    for (given, expected) in [(Some("abc-1"), None), (Some("6f9619ff-8b86-4011-b42d-00c04fc964ff"), Some(36)), (None, Some(36))] {
        let headers: Vec<(&str, &str)> = given.iter().map(|id| ("X-Request-ID", *id)).collect();
        let body = chat("Hi", false).to_string();
        let answer = client::ask(house.proxy.address, "POST /v1/chat/completions", &headers, body).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let told = answer.head.get("x-request-id");
        assert_eq!(given.or(told), told, "the client gets its own back");
        let heard = house.server.heard().pop().unwrap();
        let heard = Some(heard.header("x-request-id").len()).filter(|length| *length > 0);
        assert_eq!(heard, expected, "{given:?}");
    }
}
