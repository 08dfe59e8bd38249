//! What holds for all requests.

use super::*;

const PATHS: [&str; 12] = [
    "/api/generate",
    "/api/chat",
    "/api/embed",
    "/api/show",
    "/api/pull",
    "/api/create",
    "/api/copy",
    "/api/delete",
    "/api/other",
    "/v1/responses",
    "/v1/messages",
    "/v1/audio/speech",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z:0-9]{0,6}|0s?|\\PC{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("num_ctx|num_gpu|x", inner), 0..3).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Members with distinct keys, most of which matter.
fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    let key = "model|name|prompt|messages|keep_alive|options|stream|source|destination|from|verbose|system|shift|other";
    prop::collection::btree_map(key, value(), 0..8).prop_map(|members| members.into_iter().collect())
}

fn object(members: &[(String, Value)], gap: &str, upper: bool) -> String {
    let spell = |key: &str| if upper { key.to_uppercase() } else { key.to_owned() };
    let members = members.iter().map(|(key, value)| format!("{gap}\"{}\"{gap}:{gap}{value}{gap}", spell(key)));
    format!("{gap}{{{}}}{gap}", members.collect::<Vec<_>>().join(","))
}

proptest! {
    #[test]
    fn no_request_makes_the_classifier_panic(method in "GET|HEAD|POST|PUT|DELETE", path in "/(api|v1)/[a-z/%0-9]{0,12}|\\PC{0,12}", kind in "multipart/form-data; ?boundary=[a-z\"]{0,3}|[a-z/]{0,8}", encoding in "zstd|gzip||identity", body in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut sent = headers(CONTENT_TYPE, &kind);
        sent.insert(CONTENT_ENCODING, encoding.parse().unwrap());
        for path in PATHS.into_iter().chain([path.as_str(), "/v1/audio/x"]) {
            ask_with(&method, path, &sent, body.clone());
            streams_up(&method.parse().unwrap(), path);
        }
    }

    #[test]
    fn order_space_and_garbage_behind_change_nothing(path in prop::sample::select(&PATHS[..]), members in members(), gap in "[ \t\r\n]{0,2}", behind in "( \\PC{0,5})?") {
        let method = if path == "/api/delete" { "DELETE" } else { "POST" };
        let plain = ask(method, path, &object(&members, "", false));
        let reversed: Vec<_> = members.iter().rev().cloned().collect();
        let other = ask(method, path, &(object(&reversed, &gap, false) + &behind));
        prop_assert_eq!(&plain, &other);
        prop_assert!(!plain.malformed);
    }

    #[test]
    fn the_case_of_keys_changes_nothing_on_api(path in prop::sample::select(&PATHS[..9]), members in members()) {
        prop_assert_eq!(ask("POST", path, &object(&members, "", false)), ask("POST", path, &object(&members, "", true)));
    }

    #[test]
    fn a_preload_is_json_for_the_model_as_sent(path in prop::sample::select(&PATHS[..]), members in members()) {
        let ask = ask("POST", path, &object(&members, "", false));
        if let Some(preload) = &ask.preload {
            let body: Value = serde_json::from_slice(&preload.body()).unwrap();
            prop_assert_eq!(body["model"].as_str(), ask.model.as_deref());
            prop_assert_eq!(&ask.class, &Class::Inference);
        }
    }

    #[test]
    fn a_cut_body_never_gives_a_model(members in members(), cut in 1usize..200) {
        let body = object(&members, "", false);
        let cut = (1..=cut.min(body.len() - 1)).rev().find(|at| body.is_char_boundary(*at)).unwrap();
        let ask = ask("POST", "/api/chat", &body[..cut]);
        prop_assert!(ask.malformed && ask.model.is_none() && ask.preload.is_none());
    }
}
