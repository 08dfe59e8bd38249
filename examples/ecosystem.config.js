// PM2 keeps them running: `pm2 start examples/ecosystem.config.js --only ollama-proxy`, then `pm2 save` and `pm2 startup`.
// Settings come from the environment of that command, or from a file .env in the folder it is given in.
//   ollama-proxy      on the machine that is always on
//   ollama-exporter   beside an Ollama, to count its connections and bytes
//   ollama-worker     beside an Ollama, to register it with controllers (CONTROLLER_URL, INTERNAL_API_KEY)
const program = process.env.OLLAMA_PROXY || '/usr/local/bin/ollama-proxy';

const app = (name, args) => ({
  name,
  script: program,
  args,
  // It is a program of its own, not one of Node's.
  interpreter: 'none',
  cwd: process.cwd(),
  exec_mode: 'fork',
  instances: 1,
  autorestart: true,
  // 2: settings are wrong, which no restart mends.
  stop_exit_codes: [0, 2],
  restart_delay: 5000,
  // Running answers get 30 s.
  kill_timeout: 35000,
});

module.exports = {
  apps: [
    app('ollama-proxy', 'serve'),
    app('ollama-exporter', 'exporter --port 9101'),
    app('ollama-worker', 'worker --port 8001'),
  ],
};
