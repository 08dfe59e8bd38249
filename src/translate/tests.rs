//! Samples of streams, whole and broken, in every cut.

use proptest::prelude::*;

use super::*;

const CHAT: &str = concat!(
    r#"{"model":"a:1b","created_at":"2026-01-02T03:04:05.6Z","message":{"role":"assistant","content":"\"done\":true"},"done":false}"#,
    "\n",
    r#"{"model":"a:1b","message":{"role":"assistant","content":"","done":true,"error":"no"},"done":false}"#,
    "\n",
    r#"{"model":"a:1b","message":{"role":"assistant","content":""},"done_reason":"stop","done" : true ,"eval_count":3}"#,
    "\n"
);
const PULL: &str = concat!(
    r#"{"status":"pulling manifest"}"#,
    "\n",
    r#"{"status":"pulling 00ff","digest":"sha256:00ff","total":10,"completed":10}"#,
    "\n",
    r#"{"status":"success"}"#,
    "\n"
);
const V1_CHAT: &str = concat!(
    r#"data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"[DONE]"},"finish_reason":null}]}"#,
    "\n\n",
    ": a comment\n\n",
    r#"data: {"object":"chat.completion.chunk","error":null,"choices":[],"usage":{"prompt_tokens":5}}"#,
    "\n\ndata: [DONE]\n\n"
);
const RESPONSES: &str = concat!(
    "event: response.created\n",
    r#"data: {"response":{"error":null,"type":"response.completed"},"type":"response.created"}"#,
    "\n\nevent: response.output_text.delta\n",
    r#"data: {"delta":"event: response.completed","type":"response.output_text.delta"}"#,
    "\n\nevent: response.completed\n",
    r#"data: {"response":{"output":[{"content":[{"text":"Hi"}]}]},"sequence_number":11,"type":"response.completed"}"#,
    "\n\n"
);
const MESSAGES: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"type":"message_stop","content":[],"usage":{"input_tokens":3}}}"#,
    "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\nevent: message_stop\n"}}"#,
    "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
);
const STREAMS: [(Form, &str); 5] = [
    (Form::Ndjson, CHAT),
    (Form::Progress, PULL),
    (Form::SseChat, V1_CHAT),
    (Form::SseResponses, RESPONSES),
    (Form::SseMessages, MESSAGES),
];

fn watch(form: Form, text: &str) -> EndWatch {
    let mut watch = EndWatch::new(form);
    watch.feed(text.as_bytes());
    watch
}

/// Everything a watch tells.
fn told(watch: &EndWatch) -> (bool, bool, bool) {
    (watch.complete(), watch.succeeded(), watch.mid_line())
}

#[test]
fn a_whole_stream_is_complete_and_stands_at_no_half_line() {
    for (form, text) in STREAMS {
        let watch = watch(form, text);
        assert!(watch.complete() && watch.succeeded() && !watch.mid_line(), "{form:?}");
    }
}

#[test]
fn line_ends_of_windows_change_nothing() {
    for (form, text) in STREAMS {
        let watch = watch(form, &text.replace('\n', "\r\n"));
        assert!(watch.complete() && watch.succeeded() && !watch.mid_line(), "{form:?}");
    }
}

#[test]
fn a_stream_is_complete_exactly_from_its_end_mark_on() {
    for (form, text) in STREAMS {
        let end = match form {
            Form::Ndjson | Form::Progress | Form::SseResponses | Form::SseMessages => text.trim_end().len(),
            Form::SseChat => text.rfind("[DONE]").unwrap() + 6,
            Form::Whole => unreachable!(),
        };
        for cut in 0..=text.len() {
            let watch = watch(form, &text[..cut]);
            assert_eq!(watch.complete(), cut >= end, "{form:?} cut at {cut}");
            assert_eq!(watch.succeeded(), cut >= end, "{form:?} cut at {cut}");
        }
    }
}

#[test]
fn every_cut_into_two_and_into_single_bytes_tells_the_same() {
    for (form, text) in STREAMS {
        for text in [text.to_owned(), text.replace('\n', "\r\n"), text[..text.len() / 2].to_owned()] {
            let whole = told(&watch(form, &text));
            for cut in 0..=text.len() {
                let mut two = EndWatch::new(form);
                two.feed(&text.as_bytes()[..cut]);
                two.feed(&text.as_bytes()[cut..]);
                assert_eq!(told(&two), whole, "{form:?} cut at {cut}");
            }
            let mut single = EndWatch::new(form);
            for byte in text.as_bytes().chunks(1) {
                single.feed(byte);
            }
            assert_eq!(told(&single), whole, "{form:?}");
        }
    }
}

#[test]
fn only_whole_lines_that_end_nothing_are_idle() {
    let mut watch = EndWatch::new(Form::Ndjson);
    for (chunk, passed) in [
        ("{\"response\":\"a\",\"done\":false}\n", Passed::Idle),
        ("{\"response\":", Passed::Read),
        ("\"a\",\"done\":false}\n", Passed::Read),
        ("{\"response\":\"b\"}\n{\"response\":\"c\"}\n", Passed::Idle),
        ("{\"response\":\"b\"}\n{\"response\":\"true\"}\n", Passed::Read),
        ("{\"done\":true,\"eval_count\":3}\n", Passed::Read),
    ] {
        assert_eq!(watch.feed(chunk.as_bytes()), passed, "{chunk}");
    }
    assert!(watch.succeeded());
}

#[test]
fn an_error_that_the_node_reports_in_the_stream_completes_it_without_success() {
    for (form, text) in [
        (Form::Ndjson, "{\"response\":\"a\",\"done\":false}\n{\"error\":\"the runner died\"}\n"),
        (Form::Progress, "{\"status\":\"pulling manifest\"}\n{\"error\":\"file does not exist\"}\n"),
        (Form::SseChat, "data: {\"error\":{\"message\":\"died\"}}\n\n"),
        (Form::SseResponses, "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{}}\n\n"),
        (Form::SseResponses, "event: error\ndata: {\"type\":\"error\",\"message\":\"died\"}\n\n"),
        (Form::SseMessages, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n"),
        (Form::SseMessages, "event: error\ndata: {}\n\n"),
    ] {
        let watch = watch(form, text);
        assert!(watch.complete() && !watch.succeeded(), "{form:?} {text}");
    }
}

#[test]
fn an_answer_cut_short_by_a_token_limit_is_a_proper_end() {
    let text = "event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"response\":{\"error\":null}}\n\n";
    assert!(watch(Form::SseResponses, text).succeeded());
}

#[test]
fn what_only_looks_like_an_end_mark_is_none() {
    for (form, text) in [
        (Form::Ndjson, r#"{"response":"{\"done\":true}","done":false}"#),
        (Form::Ndjson, r#"{"response":"\\","x":[{"done":true}],"done":false}"#),
        (Form::Ndjson, r#"{"done":"true"}"#),
        (Form::Ndjson, r#"{"done":true,"done":false}"#),
        (Form::Ndjson, r#"{"done":[true]}"#),
        (Form::Ndjson, r#"{"error":null,"done":false}"#),
        (Form::Ndjson, "{\"done\":true\n}\n"),
        (Form::Ndjson, r#"["done",true]"#),
        (Form::Ndjson, r#"{"status":"success"}"#),
        (Form::Progress, r#"{"status":"success"#),
        (Form::Progress, r#"{"status":"successfully resumed","done":true}"#),
        (Form::SseChat, "data: x[DONE]\n\n: [DONE]\nid: [DONE]\n[DONE]\n\n"),
        (Form::SseChat, "data: {\"choices\":[],\"done\":true}\n\n"),
        (Form::SseMessages, "event: message_stop\n\n"),
        (Form::SseMessages, "event: message_stop\n\ndata: {}\n\n"),
        (Form::SseMessages, "data: [DONE]\n\n"),
        (Form::SseResponses, "event: response.completed\ndata: {\"type\":\"response.in_progress\"}\n\n"),
    ] {
        assert!(!watch(form, text).complete(), "{form:?} {text}");
    }
}

#[test]
fn unusual_but_lawful_spellings_of_end_marks_count() {
    for (form, text) in [
        (Form::Ndjson, "   {\"done\"\t: true}"),
        (Form::SseChat, "data:[DONE]"),
        (Form::SseChat, "\u{feff}data:  [DONE] \n"),
        (Form::SseChat, "data: {\"choices\":[]}\ndata: [DONE]\n\n"),
        (Form::SseChat, "data: {\"choices\":[]}\rdata: [DONE]\r\r"),
        (Form::SseMessages, "data: {\"type\":\"message_stop\"}\n\n"),
        (Form::SseMessages, "event: message_stop\ndata: {}\n\n"),
        (Form::SseMessages, "event: message_stop\ndata: {\"type\":\"x\"}\ndata: {}\n\n"),
        (Form::SseResponses, "data: {\"type\":\ndata: \"response.completed\"}\n\n"),
    ] {
        assert!(watch(form, text).succeeded(), "{form:?} {text}");
    }
}

#[test]
fn the_first_end_is_the_one_that_counts() {
    let error = "data: {\"error\":\"died\"}\n\n";
    assert!(watch(Form::SseChat, &format!("data: [DONE]\n\n{error}")).succeeded());
    assert!(!watch(Form::SseChat, &format!("{error}data: [DONE]\n\n")).succeeded());
    assert!(!watch(Form::Ndjson, "{\"error\":\"died\"}\n{\"done\":true}\n").succeeded());
}

#[test]
fn a_mark_of_another_dialect_within_an_event_tells_the_same_in_every_cut() {
    let text = "event: message_stop\ndata: {\ndata: [DONE]\ndata: }\n\n";
    let whole = told(&watch(Form::SseMessages, text));
    for cut in 0..text.len() {
        let mut two = watch(Form::SseMessages, &text[..cut]);
        two.feed(&text.as_bytes()[cut..]);
        assert_eq!(told(&two), whole, "cut at {cut}");
    }
}

#[test]
fn a_half_event_counts_as_half_sent_until_its_empty_line() {
    for (text, half) in [
        ("", false),
        ("data", true),
        ("data: {}", true),
        ("data: {}\n", true),
        ("data: {}\n\n", false),
        ("data: {}\r\n", true),
        ("data: {}\r\n\r", true),
        ("data: {}\r\n\r\n", false),
        ("event: ping\n", true),
        ("data: [DONE]\n", true),
        ("data: [DONE]\n\n", false),
    ] {
        assert_eq!(watch(Form::SseChat, text).mid_line(), half, "{text:?}");
    }
    for (text, half) in [("", false), ("{", true), ("{}\n", false), ("{\"done\":true}", true), ("{\"done\":true}\n", false)] {
        assert_eq!(watch(Form::Ndjson, text).mid_line(), half, "{text:?}");
    }
}

#[test]
fn a_line_of_eight_megabytes_is_watched_to_its_end_and_nothing_of_it_is_kept() {
    let mut watch = EndWatch::new(Form::Ndjson);
    watch.feed(b"{\"response\":\"");
    for _ in 0..1024 {
        watch.feed(&[b'x'; 8192]);
    }
    assert!(!watch.complete());
    watch.feed(b"\",\"done\":true}\n");
    assert!(watch.succeeded());
    assert!(!std::mem::needs_drop::<EndWatch>(), "it owns no memory beside itself");
}

#[test]
fn a_body_without_an_end_mark_is_left_to_http() {
    let watch = watch(Form::Whole, "{\"error\":\"x\"}");
    assert!(watch.complete() && watch.succeeded());
}

#[test]
fn the_form_follows_the_route_once_the_answer_is_a_stream() {
    use Dialect::{Anthropic, Native, OpenAi};
    let lines = Some("application/x-ndjson");
    let events = Some("text/event-stream; charset=utf-8");
    for (dialect, route, kind, form) in [
        (Native, "/api/chat", lines, Form::Ndjson),
        (Native, "/api/generate", Some("Application/X-NDJSON;charset=utf-8"), Form::Ndjson),
        (Native, "/api/generate", Some("application/json; charset=utf-8"), Form::Whole),
        (Native, "/api/generate", None, Form::Whole),
        (Native, "/api/pull", lines, Form::Progress),
        (Native, "/api/push", lines, Form::Progress),
        (Native, "/api/create", lines, Form::Progress),
        (Native, "other", lines, Form::Whole),
        (OpenAi, "/v1/chat/completions", events, Form::SseChat),
        (OpenAi, "/v1/completions", events, Form::SseChat),
        (OpenAi, "/v1/chat/completions", Some("application/json"), Form::Whole),
        (OpenAi, "/v1/responses", events, Form::SseResponses),
        (OpenAi, "/v1/images/*", events, Form::Whole),
        (Anthropic, "/v1/messages", events, Form::SseMessages),
    ] {
        assert_eq!(Form::of(dialect, route, kind), form, "{route} {kind:?}");
    }
}

#[test]
fn a_broken_stream_is_told_in_its_own_dialect() {
    for (form, error) in [
        (Form::Ndjson, "{\"error\":\"a \\\"b\\\"\\n\"}\n"),
        (Form::Progress, "{\"error\":\"a \\\"b\\\"\\n\"}\n"),
        (
            Form::SseChat,
            "data: {\"error\":{\"message\":\"a \\\"b\\\"\\n\",\"type\":\"api_error\",\"param\":null,\"code\":null}}\n\n",
        ),
        (
            Form::SseMessages,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"a \\\"b\\\"\\n\"}}\n\n",
        ),
    ] {
        assert_eq!(in_band_error(form, "a \"b\"\n", false).unwrap(), error);
        let half = if form.is_events() { "\n\n" } else { "\n" };
        assert_eq!(in_band_error(form, "a \"b\"\n", true).unwrap(), format!("{half}{error}"));
    }
    let responses = in_band_error(Form::SseResponses, "gone", false).unwrap();
    assert!(responses.starts_with(b"event: error\ndata: {\"type\":\"error\",") && responses.ends_with(b"}\n\n"));
    assert_eq!(in_band_error(Form::Whole, "gone", true), None);
}

#[test]
fn our_own_error_behind_any_cut_is_understood_as_an_error() {
    for (form, text) in STREAMS {
        for cut in 0..text.len() {
            let mut watch = watch(form, &text[..cut]);
            if watch.complete() {
                continue;
            }
            watch.feed(&in_band_error(form, "gone", watch.mid_line()).unwrap());
            assert!(watch.complete() && !watch.succeeded() && !watch.mid_line(), "{form:?} cut at {cut}");
        }
    }
}

proptest! {
    #[test]
    fn any_cutting_of_a_stream_tells_the_same(which in 0..STREAMS.len(), crlf: bool, stop in 0usize..900, cuts in prop::collection::vec(1usize..60, 1..40)) {
        let (form, text) = STREAMS[which];
        let text = if crlf { text.replace('\n', "\r\n") } else { text.to_owned() };
        let text = &text.as_bytes()[..stop.min(text.len())];
        let mut whole = EndWatch::new(form);
        whole.feed(text);
        let mut pieces = EndWatch::new(form);
        let mut rest = text;
        for cut in cuts.iter().cycle() {
            let (piece, later) = rest.split_at((*cut).min(rest.len()));
            pieces.feed(piece);
            rest = later;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(told(&pieces), told(&whole));
    }

    #[test]
    fn no_bytes_make_the_watch_panic_or_depend_on_the_cut(which in 0..STREAMS.len(), text in "(data:|event:|\\[DONE\\]|message_stop|\"done\"|true|\\{|\\}|\\[|\\]|:|,|\"|\\\\|\r|\n| |error|x){0,60}", cut in 0usize..200) {
        let form = STREAMS[which].0;
        let whole = watch(form, &text);
        let at = cut.min(text.len());
        let mut two = EndWatch::new(form);
        two.feed(&text.as_bytes()[..at]);
        two.feed(&text.as_bytes()[at..]);
        prop_assert_eq!(told(&two), told(&whole));
    }

    #[test]
    fn a_line_is_judged_as_a_real_json_reader_would(done: bool, text in any::<String>(), nested in any::<String>()) {
        let line = serde_json::json!({ "response": text, "x": { "done": true, "y": [nested] }, "done": done }).to_string();
        prop_assert_eq!(watch(Form::Ndjson, &line).complete(), done);
    }
}
