//! What needs no GPU.

use ollama_proxy::simulator::{Settings, SimulatedModel};

use crate::wire::{body, get, post, server, status, tell, three_tokens};

fn one_model() -> Settings {
    Settings { models: vec![SimulatedModel::chat("tiny:1b", "8K", 33_846)], ..Settings::default() }
}

#[tokio::test]
async fn the_root_says_that_ollama_runs_and_head_says_how_long_that_is() {
    let (_, at) = server(one_model()).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nDate: D\r\nContent-Length: 17\r\n\r\n";
    assert_eq!(tell(at, &get("/")).await, format!("{head}Ollama is running"));
    assert_eq!(tell(at, &get("/").replace("GET", "HEAD")).await, head);
}

#[tokio::test]
async fn json_has_gos_headers_in_gos_order() {
    let (_, at) = server(one_model()).await;
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nDate: D\r\nContent-Length: 20\r\n\r\n\
                    {\"version\":\"0.12.6\"}";
    assert_eq!(tell(at, &get("/api/version")).await, expected);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_refused_in_plain_text() {
    let (_, at) = server(one_model()).await;
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nDate: D\r\nContent-Length: 18\r\n\r\n404 page not found";
    let wrong = "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\nDate: D\r\nContent-Length: 22\r\n\r\n\
                 405 method not allowed";
    for path in ["/api", "/v1", "//api/version", "/v1/models/ns/model"] {
        assert_eq!(tell(at, &get(path)).await, missing, "{path}");
    }
    assert_eq!(tell(at, &post("/v1/messages/count_tokens", "{}")).await, missing);
    assert_eq!(tell(at, &get("/api/show")).await, wrong);
    assert_eq!(tell(at, &get("/api/chat")).await, wrong);
}

#[tokio::test]
async fn a_trailing_slash_is_redirected() {
    let (_, at) = server(one_model()).await;
    let get_answer = "HTTP/1.1 301 Moved Permanently\r\nContent-Type: text/html; charset=utf-8\r\nLocation: /api/tags\r\n\
                      Date: D\r\nContent-Length: 44\r\n\r\n<a href=\"/api/tags\">Moved Permanently</a>.\n\n";
    let post_answer = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /api/chat\r\nDate: D\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(tell(at, &get("/api/tags/")).await, get_answer);
    assert_eq!(tell(at, &post("/api/chat/", "{}")).await, post_answer);
}

#[tokio::test]
async fn tags_list_each_model_with_its_details() {
    let (_, at) = server(one_model()).await;
    let digest = SimulatedModel::chat("tiny:1b", "8K", 0).digest();
    let expected = format!(
        "{{\"models\":[{{\"name\":\"tiny:1b\",\"model\":\"tiny:1b\",\"modified_at\":\"2025-10-09T08:53:20.123456789Z\",\
         \"size\":33846,\"digest\":\"{digest}\",\"details\":{{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"llama\",\
         \"families\":[\"llama\"],\"parameter_size\":\"8K\",\"quantization_level\":\"Q4_K_M\",\"context_length\":8192,\
         \"embedding_length\":64}},\"capabilities\":[\"completion\",\"tools\"]}}]}}"
    );
    assert_eq!(digest.len(), 64);
    assert_eq!(body(at, &get("/api/tags")).await, expected);
}

#[tokio::test]
async fn show_finds_a_model_by_any_spelling_and_names_the_missing_one_in_full() {
    let (_, at) = server(one_model()).await;
    for spelling in ["tiny:1b", "TINY:1B", "library/tiny:1b", "registry.ollama.ai/library/tiny:1b", "tiny:1b:local"] {
        let shown = body(at, &post("/api/show", &format!("{{\"MODEL\":\"{spelling}\"}}"))).await;
        assert!(shown.starts_with("{\"modelfile\":\"# Modelfile generated"), "{spelling}: {shown}");
        assert!(shown.contains("\"general.parameter_count\":8000,\"llama.attention.head_count\":4"), "{shown}");
        assert!(shown.contains("\"tokenizer.ggml.tokens\":null},\"tensors\":["), "{shown}");
    }
    let show = |body: &str| post("/api/show", body);
    assert_eq!(body(at, &show("{\"name\":\"nope\"}")).await, "{\"error\":\"model 'nope:latest' not found\"}");
    assert_eq!(body(at, &show("{}")).await, "{\"error\":\"model is required\"}");
    assert_eq!(body(at, &show("")).await, "{\"error\":\"missing request body\"}");
    assert_eq!(status(at, &show("{\"model\":\"nope\"}")).await, 404);
}

#[tokio::test]
async fn show_fills_the_token_list_when_verbose_and_a_basename_for_copilot() {
    let (_, at) = server(one_model()).await;
    let verbose = body(at, &post("/api/show", "{\"model\":\"tiny:1b\",\"verbose\":true}")).await;
    assert!(verbose.contains("\"tokenizer.ggml.tokens\":[\"t0\",\"t1\","));
    let request =
        post("/api/show", "{\"model\":\"Tiny:1b\"}").replace("Host: pc", "Host: pc\r\nUser-Agent: GitHubCopilotChat/0.30");
    let copilot = body(at, &request).await;
    assert!(copilot.contains("{\"general.architecture\":\"llama\",\"general.basename\":\"Tiny:1b\","), "{copilot}");
}

#[tokio::test]
async fn v1_lists_and_finds_models_in_openais_shape() {
    let (_, at) = server(one_model()).await;
    let model = "{\"id\":\"tiny:1b\",\"object\":\"model\",\"created\":N,\"owned_by\":\"library\"}";
    assert_eq!(body(at, &get("/v1/models")).await, format!("{{\"object\":\"list\",\"data\":[{model}]}}\n"));
    assert_eq!(body(at, &get("/v1/models/tiny:1b")).await, format!("{model}\n"));
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nDate: D\r\nContent-Length: 104\r\n\r\n\
                   {\"error\":{\"message\":\"model 'nope:latest' not found\",\"type\":\"not_found_error\",\"param\":null,\"code\":null}}\n";
    assert_eq!(tell(at, &get("/v1/models/nope")).await, missing);
}

#[tokio::test]
async fn the_router_sees_paths_decoded() {
    let (_, at) = server(one_model()).await;
    assert_eq!(status(at, &get("/v1/models/tiny%3A1b")).await, 200);
    assert_eq!(body(at, &get("/v1/models/library%2Ftiny")).await, "404 page not found");
}

#[tokio::test]
async fn a_request_without_host_is_refused_before_any_handler() {
    let (ollama, at) = server(one_model()).await;
    let answer = tell(at, "GET / HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request"), "{answer}");
    assert!(ollama.counters().requests.is_empty());
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_chunks() {
    let (_, at) = server(three_tokens()).await;
    let request = "{\"model\":\"llama3.2:3b\",\"prompt\":\"hi\"}";
    let answer = tell(at, post("/api/generate", request).replace("HTTP/1.1", "HTTP/1.0")).await;
    assert!(!answer.contains("Transfer-Encoding") && answer.ends_with("}\n"), "{answer}");
}

#[tokio::test]
async fn a_server_without_models_says_null_on_v1_and_an_empty_list_natively() {
    let (_, at) = server(Settings { models: Vec::new(), ..Settings::default() }).await;
    assert_eq!(body(at, &get("/v1/models")).await, "{\"object\":\"list\",\"data\":null}\n");
    assert_eq!(body(at, &get("/api/tags")).await, "{\"models\":[]}");
}

#[tokio::test]
async fn answers_above_two_kilobytes_go_out_in_chunks() {
    let models = (0..8).map(|n| SimulatedModel::chat(&format!("m{n}:latest"), "8B", 1)).collect();
    let (_, at) = server(Settings { models, ..Settings::default() }).await;
    let tags = tell(at, &get("/api/tags")).await;
    assert!(tags.contains("\r\nDate: D\r\nTransfer-Encoding: chunked\r\n\r\n|{\"models\":["), "{tags}");
    let head = tell(at, get("/api/tags").replace("GET", "HEAD")).await;
    assert!(head.ends_with("\r\nDate: D\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn the_control_routes_exist_only_when_the_settings_say_so() {
    let (_, at) = server(three_tokens()).await;
    assert_eq!(status(at, &get("/sim/counters")).await, 404);
    let (ollama, at) = server(Settings { control: true, ..three_tokens() }).await;
    assert_eq!(body(at, &post("/sim/set", "{\"tokens\":1,\"load_ms\":5}")).await, "{\"ok\":true}");
    assert_eq!(body(at, &post("/sim/fail", "{\"next\":\"busy_503\",\"times\":2}")).await, "{\"ok\":true}");
    assert_eq!(status(at, &post("/sim/fail", "{\"next\":\"nonsense\"}")).await, 400);
    for expected in [503, 503, 200] {
        let chat = post("/api/chat", "{\"model\":\"llama3.2:3b\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
        assert_eq!(status(at, &chat).await, expected);
    }
    assert!(body(at, &get("/sim/counters")).await.starts_with("{\"requests\":{\"POST /api/chat\":3},\"running\":0,"));
    assert_eq!(ollama.counters().last_host.as_deref(), Some("pc"));
}
