//! Generations in every dialect, against the texts of a real server.

use ollama_proxy::simulator::{Settings, SimulatedModel};

use crate::wire::{body, post, server, tell, three_tokens};

const HI: &str = "\"model\":\"llama3.2\",\"messages\":[{\"role\":\"user\",\"content\":\"hi there\"}]";
const COUNTS: &str = "\"total_duration\":N,\"load_duration\":N,\"prompt_eval_count\":2,\"prompt_eval_duration\":N,\
                      \"eval_count\":3,\"eval_duration\":N}";

fn short_name() -> Settings {
    Settings { models: vec![SimulatedModel::chat("llama3.2:latest", "3.2B", 1)], ..three_tokens() }
}

#[tokio::test]
async fn chat_streams_one_line_per_token_and_counts_at_the_end() {
    let (_, at) = server(short_name()).await;
    let line = |text: &str, rest: &str| {
        format!(
            "|{{\"model\":\"llama3.2\",\"created_at\":\"\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},{rest}\n"
        )
    };
    let expected = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nDate: D\r\nTransfer-Encoding: chunked\r\n\r\n{}{}{}{}|",
        line("token 1 ", "\"done\":false}"),
        line("token 2 ", "\"done\":false}"),
        line("token 3 ", "\"done\":false}"),
        line("", &format!("\"done\":true,\"done_reason\":\"stop\",{COUNTS}")),
    );
    assert_eq!(tell(at, &post("/api/chat", &format!("{{{HI}}}"))).await, expected);
}

#[tokio::test]
async fn chat_without_stream_is_one_json() {
    let (_, at) = server(short_name()).await;
    let expected = format!(
        "{{\"model\":\"llama3.2\",\"created_at\":\"\",\"message\":{{\"role\":\"assistant\",\"content\":\"token 1 token 2 token 3 \"}},\
         \"done\":true,\"done_reason\":\"stop\",{COUNTS}"
    );
    assert_eq!(body(at, &post("/api/chat", &format!("{{{HI},\"stream\":false}}"))).await, expected);
}

#[tokio::test]
async fn generate_carries_its_context_and_obeys_num_predict() {
    let (_, at) = server(short_name()).await;
    let request = "{\"model\":\"llama3.2\",\"prompt\":\"hi there\",\"options\":{\"num_predict\":1}}";
    let expected = "|{\"model\":\"llama3.2\",\"created_at\":\"\",\"response\":\"token 1 \",\"done\":false}\n\
                    |{\"model\":\"llama3.2\",\"created_at\":\"\",\"response\":\"\",\"done\":true,\"done_reason\":\"length\",\"context\":[0],\
                    \"total_duration\":N,\"load_duration\":N,\"prompt_eval_count\":2,\"prompt_eval_duration\":N,\"eval_count\":1,\
                    \"eval_duration\":N}\n|";
    assert_eq!(body(at, &post("/api/generate", request)).await, expected);
}

#[tokio::test]
async fn an_offered_tool_is_called_when_the_user_asks_for_the_weather() {
    let (_, at) = server(short_name()).await;
    let request = "{\"model\":\"llama3.2\",\"messages\":[{\"role\":\"user\",\"content\":\"How is the Weather?\"}],\"tools\":[{\"type\":\
                   \"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"properties\":{\"city\":{\"type\":\"string\"}}}}}]";
    let native = body(at, &post("/api/chat", &format!("{request}}}"))).await;
    let call = "\"tool_calls\":[{\"id\":\"call_";
    assert!(native.contains(call) && native.contains("\"done\":true,\"done_reason\":\"stop\""), "{native}");
    assert!(
        native.contains(
            "\"function\":{\"index\":0,\"name\":\"get_weather\",\"arguments\":{\"city\":\"Paris\"}}}]},\"done\":false}"
        )
    );
    let openai = body(at, &post("/v1/chat/completions", &format!("{request},\"stream\":true}}"))).await;
    let function = "\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"arguments\":\"{\\\"city\\\":\\\"Paris\\\"}\"}";
    assert!(openai.contains(function) && openai.contains("\"finish_reason\":\"tool_calls\""), "{openai}");
}

#[tokio::test]
async fn openai_chat_streams_events_up_to_done() {
    let (_, at) = server(short_name()).await;
    let event = |choices: &str, rest: &str| {
        format!(
            "|data: {{\"id\":\"chatcmpl-\",\"object\":\"chat.completion.chunk\",\"created\":N,\"model\":\"llama3.2\",\
             \"system_fingerprint\":\"fp_ollama\",\"choices\":[{choices}]{rest}}}\n\n"
        )
    };
    let delta = |delta: &str| event(&format!("{{\"index\":0,\"delta\":{{{delta}}},\"finish_reason\":null}}"), "");
    let usage = ",\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3,\"total_tokens\":5}";
    let expected = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nDate: D\r\nTransfer-Encoding: chunked\r\n\r\n{}{}{}{}{}|data: [DONE]\n\n|",
        delta("\"role\":\"assistant\",\"content\":\"token 1 \""),
        delta("\"content\":\"token 2 \""),
        delta("\"content\":\"token 3 \""),
        event("{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}", ""),
        event("", usage),
    );
    let request = format!("{{{HI},\"stream\":true,\"stream_options\":{{\"include_usage\":true}}}}");
    assert_eq!(tell(at, &post("/v1/chat/completions", &request)).await, expected);
}

#[tokio::test]
async fn openai_chat_does_not_stream_by_default() {
    let (_, at) = server(short_name()).await;
    let expected = "{\"id\":\"chatcmpl-\",\"object\":\"chat.completion\",\"created\":N,\"model\":\"llama3.2\",\"system_fingerprint\":\
                    \"fp_ollama\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"token 1 token 2 token 3 \"},\
                    \"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3,\"total_tokens\":5}}\n";
    assert_eq!(body(at, &post("/v1/chat/completions", &format!("{{{HI}}}"))).await, expected);
}

#[tokio::test]
async fn completions_stream_texts() {
    let (_, at) = server(short_name()).await;
    let event = |text: &str, reason: &str| {
        format!(
            "|data: {{\"id\":\"cmpl-\",\"object\":\"text_completion\",\"created\":N,\"choices\":[{{\"text\":\"{text}\",\"index\":0,\
             \"finish_reason\":{reason}}}],\"model\":\"llama3.2\",\"system_fingerprint\":\"fp_ollama\"}}\n\n"
        )
    };
    let (one, two, three) = (event("token 1 ", "null"), event("token 2 ", "null"), event("token 3 ", "null"));
    let expected = format!("{one}{two}{three}{}|data: [DONE]\n\n|", event("", "\"stop\""));
    let request = "{\"model\":\"llama3.2\",\"prompt\":\"hi\",\"stream\":true}";
    assert_eq!(body(at, &post("/v1/completions", request)).await, expected);
}

#[tokio::test]
async fn messages_stream_anthropics_events_with_their_headers() {
    let (_, at) = server(short_name()).await;
    let delta = |text: &str| {
        format!(
            "|event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\
             \"text\":\"{text}\"}}}}\n\n"
        )
    };
    let expected = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nConnection: keep-alive\r\nContent-Type: text/event-stream\r\nDate: D\r\n\
         Transfer-Encoding: chunked\r\n\r\n\
         |event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"msg_\",\"type\":\"message\",\"role\":\"assistant\",\
         \"model\":\"llama3.2\",\"content\":[],\"usage\":{{\"input_tokens\":2,\"output_tokens\":0}}}}}}\n\n\
         |event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"text\",\"text\":\"\"}}}}\n\n\
         {}{}{}\
         |event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":0}}\n\n\
         |event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\"}},\"usage\":{{\"input_tokens\":2,\"output_tokens\":3}}}}\n\n\
         |event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n|",
        delta("token 1 "),
        delta("token 2 "),
        delta("token 3 "),
    );
    let request = post("/v1/messages", &format!("{{{HI},\"max_tokens\":100,\"stream\":true}}"));
    let keeping = request.replace("Connection: close\r\n", "");
    assert_eq!(tell(at, &keeping).await, expected);
    let closing = expected.replace("Connection: keep-alive\r\n", "");
    assert_eq!(tell(at, &request).await, closing, "Go drops the promise when the client wants to close");
}

#[tokio::test]
async fn messages_without_stream_are_one_json_and_errors_have_anthropics_shape() {
    let (_, at) = server(short_name()).await;
    let expected = "{\"id\":\"msg_\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"llama3.2\",\"content\":[{\"type\":\"text\",\"text\":\
                    \"token 1 token 2 token 3 \"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":2,\"output_tokens\":3}}\n";
    assert_eq!(body(at, &post("/v1/messages", &format!("{{{HI},\"max_tokens\":100}}"))).await, expected);
    let missing = "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"model 'nope' not found\"},\"request_id\":\"req_\"}\n";
    let request = post("/v1/messages", &format!("{{{HI},\"max_tokens\":100}}").replace("llama3.2", "nope"));
    assert_eq!(body(at, &request).await, missing);
}

#[tokio::test]
async fn responses_stream_numbered_events_in_alphabetical_fields() {
    let (_, at) = server(short_name()).await;
    let answer = body(at, &post("/v1/responses", "{\"model\":\"llama3.2\",\"input\":\"hi there\",\"stream\":true}")).await;
    let events: Vec<&str> = answer.split("|event: ").skip(1).map(|e| e.split('\n').next().unwrap()).collect();
    let names = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(events, names.map(|n| format!("response.{n}")));
    let delta = "data: {\"content_index\":0,\"delta\":\"token 1 \",\"item_id\":\"msg_\",\"logprobs\":[],\"output_index\":0,\
                 \"sequence_number\":4,\"type\":\"response.output_text.delta\"}\n\n";
    assert!(answer.contains(delta), "{answer}");
    let start = "|event: response.created\ndata: {\"response\":{\"background\":false,\"completed_at\":null,\"created_at\":N,\"error\":null,\
                 \"frequency_penalty\":0,\"id\":\"resp_\",\"incomplete_details\":null,\"instructions\":null,\"max_output_tokens\":null,\
                 \"max_tool_calls\":null,\"metadata\":{},\"model\":\"llama3.2\",\"object\":\"response\",\"output\":[],";
    assert!(answer.starts_with(start), "{answer}");
    let end = "\"usage\":{\"input_tokens\":2,\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":3,\"output_tokens_details\":\
               {\"reasoning_tokens\":0},\"total_tokens\":5}},\"sequence_number\":10,\"type\":\"response.completed\"}\n\n|";
    assert!(answer.ends_with(end), "{answer}");
}

#[tokio::test]
async fn embeddings_come_in_three_shapes() {
    let (_, at) = server(three_tokens()).await;
    let model = "\"model\":\"nomic-embed-text\"";
    let embed = body(at, &post("/api/embed", &format!("{{{model},\"input\":[\"a b\",\"c\"],\"dimensions\":2}}"))).await;
    assert!(embed.starts_with("{\"model\":\"nomic-embed-text\",\"embeddings\":[["), "{embed}");
    assert!(embed.ends_with("]],\"total_duration\":N,\"load_duration\":N,\"prompt_eval_count\":3}"), "{embed}");
    assert_eq!(
        body(at, &post("/api/embed", &format!("{{{model}}}"))).await,
        "{\"model\":\"nomic-embed-text\",\"embeddings\":[]}"
    );
    assert!(body(at, &post("/api/embeddings", &format!("{{{model},\"prompt\":\"a\"}}"))).await.starts_with("{\"embedding\":["));
    let request = format!("{{{model},\"input\":\"a\",\"dimensions\":2,\"encoding_format\":\"base64\"}}");
    let base64 = body(at, &post("/v1/embeddings", &request)).await;
    assert!(base64.starts_with("{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"embedding\":\""), "{base64}");
    assert!(
        base64
            .ends_with("=\",\"index\":0}],\"model\":\"nomic-embed-text\",\"usage\":{\"prompt_tokens\":1,\"total_tokens\":1}}\n")
    );
}

#[tokio::test]
async fn a_recording_is_transcribed_from_a_form() {
    let (_, at) = server(short_name()).await;
    let form = "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nllama3.2\r\n--x\r\nContent-Disposition: form-data; \
                name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--x--\r\n";
    let request =
        post("/v1/audio/transcriptions", form).replace("Host: pc", "Host: pc\r\nContent-Type: multipart/form-data; boundary=x");
    assert_eq!(body(at, &request).await, "{\"text\":\"token 1 token 2 token 3\"}\n");
}

#[tokio::test]
async fn refusals_have_ollamas_words_for_each_route() {
    let (_, at) = server(three_tokens()).await;
    let native = |text: &str| serde_json::json!({"error": text}).to_string();
    for (path, request, text) in [
        ("/api/chat", "{\"model\":\"nope\"}", "model 'nope' not found"),
        ("/api/chat", "{}", "model is required"),
        ("/api/chat", "", "missing request body"),
        ("/api/generate", "{}", "model '' not found"),
        ("/api/generate", "{\"model\":\"nope:cloud\"}", "ollama cloud is disabled: remote model is unavailable"),
        ("/api/generate", "{\"model\":\"a:local:cloud\"}", "use either :local or :cloud, not both: \"a:local:cloud\""),
        ("/api/embed", "{\"model\":\"nope\"}", "model \"nope\" not found, try pulling it first"),
        ("/api/chat", "{\"model\":\"nomic-embed-text\"}", "\"nomic-embed-text\" does not support chat"),
        ("/api/chat", "{\"model\":\"llama3.2:3b\",\"think\":true}", "\"llama3.2:3b\" does not support thinking"),
        ("/api/chat", "{\"model\":\"x\",\"keep_alive\":\"-1\"}", "time: missing unit in duration \"-1\""),
        (
            "/v1/chat/completions",
            "{\"model\":\"nope:cloud\",\"messages\":[{}]}",
            "ollama cloud is disabled: remote model is unavailable",
        ),
    ] {
        assert_eq!(body(at, &post(path, request)).await, native(text), "{path} {request}");
    }
    let openai = "{\"error\":{\"message\":\"[] is too short - 'messages'\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}\n";
    assert_eq!(body(at, &post("/v1/chat/completions", "{}")).await, openai);
    let empty = "{\"error\":{\"message\":\"EOF\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}\n";
    assert_eq!(body(at, &post("/v1/chat/completions", "")).await, empty);
}

#[tokio::test]
async fn v1_reads_zstd_and_the_native_routes_do_not() {
    let (_, at) = server(short_name()).await;
    let plain = format!("{{{HI}}}");
    // One frame with its length in one byte, and in it one last block of plain bytes.
    let mut packed = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, u8::try_from(plain.len()).unwrap()];
    packed.extend(&u32::try_from(plain.len() << 3 | 1).unwrap().to_le_bytes()[..3]);
    packed.extend(plain.bytes());
    let request = |path: &str| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: pc\r\nContent-Encoding: zstd\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            packed.len()
        );
        [head.as_bytes(), &packed].concat()
    };
    assert!(body(at, request("/v1/chat/completions")).await.contains("token 3 "));
    assert!(tell(at, request("/api/chat")).await.starts_with("HTTP/1.1 400 Bad Request"));
}

#[tokio::test]
async fn only_the_first_json_value_of_a_body_counts_and_no_content_type_is_asked_for() {
    let (_, at) = server(short_name()).await;
    let request = post("/api/chat", &format!("{{{HI},\"STREAM\":false}} and more"))
        .replace("Host: pc", "Host: pc\r\nContent-Type: text/plain");
    assert!(body(at, request).await.starts_with("{\"model\":\"llama3.2\""));
}

#[tokio::test]
async fn a_thinking_model_thinks_unless_told_not_to() {
    let mut model = SimulatedModel::chat("qwen3:latest", "8.2B", 1);
    model.capabilities.push("thinking".to_owned());
    let (_, at) = server(Settings { models: vec![model], ..three_tokens() }).await;
    let ask = HI.replace("llama3.2", "qwen3");
    let thought = body(at, post("/api/chat", &format!("{{{ask}}}"))).await;
    assert!(thought.contains("\"content\":\"\",\"thinking\":\"Counting the tokens. \"},\"done\":false}"), "{thought}");
    let silent = body(at, post("/api/chat", &format!("{{{ask},\"think\":false}}"))).await;
    assert!(!silent.contains("thinking"), "{silent}");
    let reasoned = body(at, post("/v1/chat/completions", &format!("{{{ask}}}"))).await;
    assert!(reasoned.contains("\"reasoning\":\"Counting the tokens. \""), "{reasoned}");
}

#[tokio::test]
async fn a_format_makes_the_answer_json() {
    let (_, at) = server(short_name()).await;
    let answer = body(at, post("/api/chat", &format!("{{{HI},\"format\":\"json\",\"stream\":false}}"))).await;
    assert!(answer.contains(r#""content":"{\"answer\":\"token 1 token 2 token 3\"}""#), "{answer}");
}
