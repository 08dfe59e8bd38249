//! The providers' models among the nodes'.

use serde_json::{Value, json};

use crate::rig::{LOCAL, Rig};

fn names(list: &Value, key: &str, name: &str) -> Vec<String> {
    list[key].as_array().unwrap().iter().map(|entry| entry[name].as_str().unwrap().to_owned()).collect()
}

const ALL: [&str; 7] = [
    LOCAL,
    "openai/gpt-4o-mini",
    "openai/o4-mini",
    "openai/text-embedding-3-small",
    "anthropic/claude-first",
    "anthropic/claude-second",
    "azure/mini",
];

#[tokio::test]
async fn all_models_stand_in_both_lists_under_names_that_work() {
    let rig = Rig::start().await;
    assert_eq!(names(&rig.listed().await, "data", "id"), ALL);
    let tags = rig.get("/api/tags").await.json();
    assert_eq!(names(&tags, "models", "name"), ALL);
    let first = &tags["models"][1];
    assert_eq!(
        (&first["remote_model"], &first["details"]["family"], &first["size"]),
        (&json!("gpt-4o-mini"), &json!("openai"), &json!(0))
    );
    assert_eq!(first["digest"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn a_model_is_shown_without_asking_anybody() {
    let rig = Rig::start().await;
    rig.listed().await;
    let show = rig.post("/api/show", &json!({ "model": "anthropic/claude-first" })).await.json();
    assert_eq!(show["capabilities"], json!(["completion", "tools", "vision", "thinking"]));
    assert_eq!(show["model_info"]["anthropic.context_length"], 200_000);
    let model = rig.get("/v1/models/openai/gpt-4o-mini").await.json();
    assert_eq!(
        (&model["id"], &model["owned_by"], &model["created"]),
        (&json!("openai/gpt-4o-mini"), &json!("openai"), &json!(1_721_172_741))
    );
    assert_eq!(rig.asked_of_node(), Vec::<String>::new());
}

#[tokio::test]
async fn the_owner_may_hide_them_and_they_work_all_the_same() {
    let rig = Rig::with(&[("LIST_CLOUD_MODELS", "false".to_owned())]).await;
    let answer = rig
        .post(
            "/api/chat",
            &json!({ "model": "openai/gpt-4o-mini", "stream": false, "messages": [{ "role": "user", "content": "Hi" }] }),
        )
        .await;
    assert_eq!(answer.status(), 200);
    for (path, key, name) in [("/api/tags", "models", "name"), ("/v1/models", "data", "id")] {
        let list = rig.get(path).await.json();
        assert!(names(&list, key, name).iter().all(|name| name == LOCAL), "{list}");
    }
}

#[tokio::test]
async fn a_provider_whose_list_cannot_be_read_serves_by_full_names() {
    let rig = Rig::with(&[("ANTHROPIC_API_KEY", "wrong-but-listed-by-nobody".to_owned())]).await;
    let list = loop {
        let list = rig.get("/v1/models").await.json();
        if list.to_string().contains("gpt-4o-mini") {
            break list;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert!(!list.to_string().contains("claude"));
    let show = rig.post("/api/show", &json!({ "model": "anthropic/claude-first" })).await;
    assert_eq!(show.status(), 200);
}
