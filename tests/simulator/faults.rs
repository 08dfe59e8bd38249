//! Failures to order.

use std::io::ErrorKind;
use std::time::Duration;

use ollama_proxy::simulator::Failure;
use tokio::io::AsyncReadExt;

use crate::wire::{body, get, open, post, server, status, steady, three_tokens, until};

const MESSAGES: &str = "\"model\":\"llama3.2:3b\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]";

/// What comes of a chat when it goes wrong so, and how the connection ends.
async fn chat(failure: Failure) -> (String, Result<usize, ErrorKind>) {
    let (ollama, at) = server(three_tokens()).await;
    ollama.fail_next(failure);
    let mut stream = open(at, &post("/api/chat", &format!("{{{MESSAGES}}}"))).await;
    let mut answer = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut answer)).await;
    let end = end.unwrap_or(Err(ErrorKind::TimedOut.into())).map_err(|e| e.kind());
    (steady(&String::from_utf8(answer).unwrap()), end)
}

#[tokio::test]
async fn a_connection_can_end_without_a_byte() {
    let (answer, end) = chat(Failure::CloseBeforeHead).await;
    assert_eq!((answer.trim(), end), ("", Ok(0)));
    let (answer, end) = chat(Failure::ResetBeforeHead).await;
    assert_eq!((answer.trim(), end), ("", Err(ErrorKind::ConnectionReset)));
    let (answer, end) = chat(Failure::HangBeforeHead).await;
    assert_eq!((answer.trim(), end), ("", Err(ErrorKind::TimedOut)));
}

#[tokio::test]
async fn a_connection_can_end_after_the_head_only() {
    let (answer, end) = chat(Failure::CloseAfterHead).await;
    assert!(answer.ends_with("Transfer-Encoding: chunked\r\n\r\n(cut)"), "{answer}");
    assert!(end.is_ok());
}

#[tokio::test]
async fn a_stream_can_break_off_after_two_tokens_in_four_ways() {
    for (failure, mark, expected) in [
        (Failure::ResetMidStream, "(cut)", Err(ErrorKind::ConnectionReset)),
        (Failure::StallMidStream, "(cut)", Err(ErrorKind::TimedOut)),
        (Failure::EndEarly, "\"done\":false}\n|", Ok(())),
        (Failure::ErrorLine, "|{\"error\":\"an error was encountered while running the model: unexpected EOF\"}\n|", Ok(())),
    ] {
        let (answer, end) = chat(failure).await;
        assert!(answer.contains("token 2 ") && !answer.contains("token 3 "), "{failure:?}: {answer}");
        assert!(answer.ends_with(mark), "{failure:?}: {answer}");
        assert_eq!(end.map(|_| ()), expected, "{failure:?}");
    }
}

#[tokio::test]
async fn a_stream_of_one_token_breaks_off_before_its_end_and_not_behind_it() {
    let one = "\"options\":{\"num_predict\":1}";
    for (path, request, end) in [
        ("/api/chat", format!("{{{MESSAGES},{one}}}"), "\"done\":true"),
        ("/api/generate", format!("{{\"model\":\"llama3.2:3b\",\"prompt\":\"hi\",{one}}}"), "\"done\":true"),
        ("/v1/chat/completions", format!("{{{MESSAGES},\"max_tokens\":1,\"stream\":true}}"), "\"finish_reason\":\""),
    ] {
        for failure in [Failure::ErrorLine, Failure::EndEarly] {
            let (ollama, at) = server(three_tokens()).await;
            ollama.fail_next(failure);
            let answer = body(at, &post(path, &request)).await;
            assert!(answer.contains("token 1 ") && !answer.contains(end), "{path} {failure:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_silent_server_is_noticed() {
    let (ollama, at) = server(three_tokens()).await;
    ollama.fail_next(Failure::HangBeforeHead);
    let stream = open(at, &post("/api/chat", &format!("{{{MESSAGES}}}"))).await;
    until(|| ollama.counters().running == 1).await;
    drop(stream);
    until(|| ollama.counters().connections_open == 0).await;
}

#[tokio::test]
async fn openais_stream_hides_the_error_as_ollama_does() {
    let (ollama, at) = server(three_tokens()).await;
    ollama.fail_next(Failure::ErrorLine);
    let answer = body(at, &post("/v1/chat/completions", &format!("{{{MESSAGES},\"stream\":true}}"))).await;
    let last = "\"model\":\"\",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\
                \"finish_reason\":null}]}\n\n|";
    assert!(answer.ends_with(last), "{answer}");
}

#[tokio::test]
async fn a_whole_answer_breaks_off_in_its_middle() {
    let (ollama, at) = server(three_tokens()).await;
    ollama.fail_next(Failure::EndEarly);
    let mut stream = open(at, &post("/api/chat", &format!("{{{MESSAGES},\"stream\":false}}"))).await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = head.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    assert_eq!(body.len(), length.parse::<usize>().unwrap() / 2);
}

#[tokio::test]
async fn busy_and_broken_servers_answer_in_the_routes_own_shape() {
    let (ollama, at) = server(three_tokens()).await;
    ollama.fail(Failure::Busy, 2, None);
    let busy = "server busy, please try again.  maximum pending requests exceeded";
    assert_eq!(body(at, &post("/api/chat", "{}")).await, format!("{{\"error\":\"{busy}\"}}"));
    let openai = format!("{{\"error\":{{\"message\":\"{busy}\",\"type\":\"api_error\",\"param\":null,\"code\":null}}}}\n");
    assert_eq!(body(at, &post("/v1/chat/completions", "{}")).await, openai);
    ollama.fail_next(Failure::Broken);
    assert_eq!(status(at, &post("/api/chat", "{}")).await, 500);
}

#[tokio::test]
async fn listings_pass_an_ordered_failure_by_unless_it_names_their_path() {
    let (ollama, at) = server(three_tokens()).await;
    ollama.fail_next(Failure::Broken);
    assert_eq!(status(at, &get("/api/version")).await, 200);
    assert_eq!(status(at, &post("/api/chat", "{}")).await, 500);
    ollama.fail(Failure::Broken, 1, Some("/api/version"));
    assert_eq!(status(at, &get("/api/version")).await, 500);
}
