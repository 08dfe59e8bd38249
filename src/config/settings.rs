//! The one table of flags: name, environment names, default, help. Flags, `--help`, lookup and `check` all read it here.

/// One setting of `serve`.
#[derive(Debug)]
pub(super) struct Setting {
    /// The long flag without its dashes.
    pub(super) flag: &'static str,
    /// Environment names, the preferred one first; the others are aliases. The first is the value's name in help.
    pub(super) env: &'static [&'static str],
    /// The default as the user would write it; empty: none.
    pub(super) default: &'static str,
    /// One sentence for `--help`.
    pub(super) help: &'static str,
    /// What joins the values of a repeated flag; `None`: the flag is given once.
    pub(super) joiner: Option<&'static str>,
    /// Whether the flag alone means `true`.
    pub(super) switch: bool,
    /// Never shown, not even in a fault.
    pub(super) secret: bool,
}

pub(super) const fn setting(
    flag: &'static str,
    env: &'static [&'static str],
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { flag, env, default, help, joiner: None, switch: false, secret: false }
}

impl Setting {
    const fn list(mut self, joiner: &'static str) -> Self {
        self.joiner = Some(joiner);
        self
    }

    const fn switch(mut self) -> Self {
        self.switch = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

pub(super) static OLLAMA_URL: Setting = setting(
    "ollama-url",
    &["OLLAMA_URL", "OLLAMA_BASE_URL"],
    "http://localhost:11434",
    "Where Ollama is; repeat it or separate by commas for several nodes (node1, node2 …)",
)
.list(",");
pub(super) static ALWAYS_ON: Setting =
    setting("always-on", &["ALWAYS_ON"], "false", "The nodes never sleep: they are checked regularly and get no magic packet")
        .switch();
pub(super) static NODE_CONFIG: Setting = setting(
    "node-config",
    &["NODE_CONFIG_FILE"],
    "node_config.json",
    "File with several nodes; sought here, in config/ and in the data directory",
);
pub(super) static STRATEGY: Setting = setting(
    "strategy",
    &["SCHEDULING_STRATEGY"],
    "round_robin",
    "How equal nodes take turns: round_robin, least_connections, weighted_round_robin …",
);

pub(super) static WAKE_MAC: Setting = setting(
    "wake-mac",
    &["WAKE_MAC"],
    "",
    "MAC address of each --ollama-url node, in the same order; learnt by itself if left out",
)
.list(",");
pub(super) static WAKE_BROADCAST: Setting = setting(
    "wake-broadcast",
    &["WAKE_BROADCAST"],
    "",
    "IPv4 addresses for magic packets, instead of the broadcast addresses found here",
)
.list(",");
pub(super) static WAKE_PORT: Setting =
    setting("wake-port", &["WAKE_PORT"], "", "UDP ports for magic packets, instead of 9 and 7").list(",");
pub(super) static WAKE_SECURE_ON: Setting =
    setting("wake-secure-on", &["WAKE_SECURE_ON"], "", "SecureOn password, appended to the magic packet").secret();
pub(super) static WAKE_URL: Setting = setting(
    "wake-url",
    &["WAKE_URL"],
    "",
    "URL that wakes a node, one each or one for all; fills in {mac} {ip} {node} {time} {token}",
)
.list(",");
pub(super) static WAKE_METHOD: Setting =
    setting("wake-method", &["WAKE_METHOD"], "", "HTTP method of the wake URL: GET, or POST when there is a body");
pub(super) static WAKE_HEADERS: Setting =
    setting("wake-headers", &["WAKE_HEADERS"], "", "Headers of the wake URL, `Name: value`; repeat or separate by `;`")
        .list("\n")
        .secret();
pub(super) static WAKE_BODY: Setting = setting("wake-body", &["WAKE_BODY"], "", "Body of the wake URL").secret();
pub(super) static WAKE_KEY: Setting =
    setting("wake-key", &["WAKE_KEY"], "", "WolGoWeb's KEY; each call of the wake URL is then signed").secret();
pub(super) static WAKE_TIMEOUT: Setting =
    setting("wake-timeout", &["WAKE_TIMEOUT"], "180s", "How long a node may take to wake and answer");
pub(super) static WAKE_INTERVAL: Setting = setting(
    "wake-interval",
    &["WAKE_INTERVAL"],
    "10",
    "With traffic, one extra wake call per interval (a bare number is minutes); 0 is off",
);
pub(super) static KEEP_AWAKE: Setting = setting(
    "keep-awake",
    &["KEEP_AWAKE"],
    "off",
    "Keep nodes awake: 30m after the last request, or within `mon-fri 18:00-23:00`",
);
pub(super) static NEVER_WAKE_PATHS: Setting =
    setting("never-wake-paths", &["NEVER_WAKE_PATHS"], "", "Requests for these paths never wake; `*` stands for any run")
        .list(",");
pub(super) static NEVER_WAKE_CLIENTS: Setting =
    setting("never-wake-clients", &["NEVER_WAKE_CLIENTS"], "", "Requests from these addresses or ranges never wake").list(",");
pub(super) static NEVER_WAKE_AGENTS: Setting = setting(
    "never-wake-agents",
    &["NEVER_WAKE_AGENTS"],
    "",
    "Requests with these User-Agents never wake; `*` stands for any run",
)
.list(",");

pub(super) static OPENAI_API_KEY: Setting =
    setting("openai-api-key", &["OPENAI_API_KEY"], "", "OpenAI's key: models named openai/… are asked there").secret();
pub(super) static OPENAI_BASE_URL: Setting = setting(
    "openai-base-url",
    &["OPENAI_BASE_URL"],
    "https://api.openai.com/v1",
    "Where OpenAI is, or another server that speaks its dialect",
);
pub(super) static ANTHROPIC_API_KEY: Setting =
    setting("anthropic-api-key", &["ANTHROPIC_API_KEY"], "", "Anthropic's key: models named anthropic/… are asked there")
        .secret();
pub(super) static ANTHROPIC_BASE_URL: Setting =
    setting("anthropic-base-url", &["ANTHROPIC_BASE_URL"], "https://api.anthropic.com", "Where Anthropic is");
pub(super) static AZURE_OPENAI_API_KEY: Setting = setting(
    "azure-openai-api-key",
    &["AZURE_OPENAI_API_KEY"],
    "",
    "Azure OpenAI's key: deployments named azure/… are asked there",
)
.secret();
pub(super) static AZURE_OPENAI_ENDPOINT: Setting =
    setting("azure-openai-endpoint", &["AZURE_OPENAI_ENDPOINT"], "", "Where your Azure OpenAI is: https://….openai.azure.com");
pub(super) static AZURE_OPENAI_DEPLOYMENTS: Setting = setting(
    "azure-openai-deployments",
    &["AZURE_OPENAI_DEPLOYMENTS"],
    "",
    "Names of your deployments in Azure, which tells no list of them",
)
.list(",");
pub(super) static AZURE_OPENAI_API_VERSION: Setting = setting(
    "azure-openai-api-version",
    &["AZURE_OPENAI_API_VERSION"],
    "v1",
    "Azure's api-version for resources older than its v1",
);
pub(super) static REPAIR_V1: Setting = setting(
    "repair-v1",
    &["REPAIR_V1"],
    "false",
    "OpenAI chats go to Ollama's /api/chat: newer parameters count, stream errors are told",
)
.switch();
pub(super) static LIST_CLOUD_MODELS: Setting = setting(
    "list-cloud-models",
    &["LIST_CLOUD_MODELS"],
    "true",
    "Whether model lists name the models of providers too; false hides them",
);

pub(super) static TIMEOUT: Setting =
    setting("timeout", &["TIMEOUT_SECONDS"], "10", "How long an awake node may take for a listing or other short answer");
pub(super) static MODEL_TIMEOUT: Setting = setting(
    "model-timeout",
    &["MODEL_TIMEOUT_SECONDS"],
    "30",
    "After this silence of a generation we check that the node lives; it cuts off nothing",
);
pub(super) static CONNECT_TIMEOUT: Setting =
    setting("connect-timeout", &["CONNECT_TIMEOUT"], "1s", "How long connecting to a node may take");
pub(super) static REQUEST_LIMIT: Setting =
    setting("request-limit", &["REQUEST_LIMIT"], "none", "Hard end of every request, generations included");
pub(super) static QUIET_AFTER: Setting =
    setting("quiet-after", &["QUIET_AFTER"], "2m", "For this long after its last traffic a node counts as probably awake");
pub(super) static QUEUE_WAIT: Setting =
    setting("queue-wait", &["QUEUE_WAIT"], "5m", "How long a request waits while every node that could serve it is full");
pub(super) static CACHE_TTL: Setting = setting("cache-ttl", &["CACHE_TTL"], "30m", "How long a cached answer counts as fresh");
pub(super) static HEALTH_INTERVAL: Setting =
    setting("health-interval", &["HEALTH_INTERVAL"], "30s", "How often always-on nodes are checked; 0 stops all own calls");

pub(super) static HOST: Setting =
    setting("host", &["HOST"], "", "Address to listen on, an IP or localhost; every address if left out");
pub(super) static PORT: Setting =
    setting("port", &["PORT", "GATEWAY_PORT"], "11434", "Ports to listen on; repeat or separate by commas").list(",");
pub(super) static CORS_ORIGINS: Setting = setting(
    "cors-origins",
    &["OLLAMA_ORIGINS", "CORS_ORIGINS"],
    "",
    "Web pages that may call us, beside Ollama's own list; `*` stands for any run",
)
.list(",");
pub(super) static DATA_DIR: Setting =
    setting("data-dir", &["DATA_DIR"], "", "Where state is kept; else $STATE_DIRECTORY, /data, or the user's ~/.local/state");

pub(super) static MAX_HELD: Setting = setting("max-held", &["MAX_HELD"], "256", "Requests held while nodes wake or are full");
pub(super) static MAX_BODY: Setting = setting("max-body", &["MAX_BODY"], "64MiB", "Largest request body; blobs are not bounded");
pub(super) static MAX_BUFFER: Setting = setting("max-buffer", &["MAX_BUFFER"], "64MiB", "All buffered request bodies together");
pub(super) static MAX_CONNECTIONS: Setting =
    setting("max-connections", &["MAX_CONNECTIONS"], "1024", "Client connections at once");

pub(super) static LOG_FORMAT: Setting = setting("log-format", &["LOG_FORMAT"], "text", "Log lines as text or json");
pub(super) static LOG: Setting =
    setting("log", &["LOG_LEVEL"], "info", "Log from this level on: error, warn, info, debug or trace");

pub(super) static NOTIFY_WEBHOOK: Setting = setting(
    "notify-webhook",
    &["NOTIFY_WEBHOOK"],
    "",
    "URL that gets a POST of JSON when a wake fails or an always-on node is lost",
)
.secret();
pub(super) static NOTIFY_NTFY: Setting =
    setting("notify-ntfy", &["NOTIFY_NTFY"], "", "ntfy topic that gets the same, such as https://ntfy.sh/my-secret-topic")
        .secret();

/// Every setting under its heading, in the order of `--help`.
pub(super) static GROUPS: &[(&str, &[&Setting])] = &[
    ("Nodes", &[&OLLAMA_URL, &ALWAYS_ON, &NODE_CONFIG, &STRATEGY, &REPAIR_V1]),
    (
        "Waking",
        &[
            &WAKE_MAC,
            &WAKE_BROADCAST,
            &WAKE_PORT,
            &WAKE_SECURE_ON,
            &WAKE_URL,
            &WAKE_METHOD,
            &WAKE_HEADERS,
            &WAKE_BODY,
            &WAKE_KEY,
            &WAKE_TIMEOUT,
            &WAKE_INTERVAL,
            &KEEP_AWAKE,
            &NEVER_WAKE_PATHS,
            &NEVER_WAKE_CLIENTS,
            &NEVER_WAKE_AGENTS,
        ],
    ),
    (
        "Cloud providers",
        &[
            &OPENAI_API_KEY,
            &OPENAI_BASE_URL,
            &ANTHROPIC_API_KEY,
            &ANTHROPIC_BASE_URL,
            &AZURE_OPENAI_API_KEY,
            &AZURE_OPENAI_ENDPOINT,
            &AZURE_OPENAI_DEPLOYMENTS,
            &AZURE_OPENAI_API_VERSION,
            &LIST_CLOUD_MODELS,
        ],
    ),
    (
        "Times",
        &[&TIMEOUT, &MODEL_TIMEOUT, &CONNECT_TIMEOUT, &REQUEST_LIMIT, &QUIET_AFTER, &QUEUE_WAIT, &CACHE_TTL, &HEALTH_INTERVAL],
    ),
    ("Listening and state", &[&HOST, &PORT, &CORS_ORIGINS, &DATA_DIR]),
    ("Limits", &[&MAX_HELD, &MAX_BODY, &MAX_BUFFER, &MAX_CONNECTIONS]),
    ("Notifications", &[&NOTIFY_WEBHOOK, &NOTIFY_NTFY]),
    ("Log", &[&LOG_FORMAT, &LOG]),
];

/// Every setting, without headings.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|(_, settings)| settings.iter().copied())
}
