"""What can be said of the files without running them."""

import json
import pathlib
import re
import shutil
import tempfile
import unittest

import tree_sitter
import tree_sitter_powershell
import yaml  # podman-compose brings it

from engine import IMAGE, ROOT, TOOLS, attempt, run

ADD_ON = ROOT / "docker" / "homeassistant"
UNITS = sorted((ROOT / "docker" / "systemd").glob("*.service"))


class Files(unittest.TestCase):
    def test_hadolint_has_nothing_to_say_of_the_dockerfiles(self):
        run(TOOLS / "hadolint", "docker/Dockerfile", "docker/homeassistant/Dockerfile")

    def test_the_build_script_is_powershell(self):
        self.assertFalse(self.powershell((ROOT / "build.ps1").read_bytes()).has_error)

    def test_a_broken_script_would_be_noticed(self):
        self.assertTrue(self.powershell((ROOT / "build.ps1").read_bytes().replace(b"}", b"", 1)).has_error)

    def powershell(self, text):
        parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
        return parser.parse(text).root_node

    def test_every_setting_in_the_compose_file_exists(self):
        text = (ROOT / "docker-compose.yml").read_text()
        names = re.findall(r"^      (\w+): \$\{\1:-\}$", text, re.M)
        self.assertLessEqual({"OLLAMA_URL", "API_KEY", "ADMIN_KEY", "OPENAI_API_KEY"}, set(names), "a key in .env that is not handed on protects nobody")
        self.assertEqual(unknown_settings(set(names) - {"TZ"}), set())

    def test_every_option_of_the_home_assistant_add_on_is_a_setting(self):
        add_on = yaml.safe_load((ADD_ON / "config.yaml").read_text())
        self.assertGreater(len(add_on["schema"]), 5)
        self.assertEqual(unknown_settings({name.upper() for name in add_on["schema"]}), set())
        self.assertLessEqual(set(add_on["options"]), set(add_on["schema"]))

    def test_the_add_on_is_of_the_version_of_the_program(self):
        add_on = yaml.safe_load((ADD_ON / "config.yaml").read_text())
        program = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M).group(1)
        self.assertEqual(add_on["version"], program)

    def test_the_add_on_hands_its_options_to_the_program_word_for_word(self):
        options = {"ollama_url": "http://a:1", "wake_key": "it's $HOME `x` \"y\"", "always_on": True, "wake_mac": "", "keep_awake": None}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(options, file)
            file.flush()
            seen = run(ADD_ON / "run.sh", env={"OPTIONS": file.name, "PROGRAM": "env"}).splitlines()
        self.assertIn("OLLAMA_URL=http://a:1", seen)
        self.assertIn("WAKE_KEY=" + options["wake_key"], seen)
        self.assertIn("ALWAYS_ON=true", seen)
        self.assertFalse([line for line in seen if line.startswith(("WAKE_MAC=", "KEEP_AWAKE="))])

    def test_systemd_understands_each_unit(self):
        self.assertEqual(len(UNITS), 3)
        for unit in UNITS:
            with self.subTest(unit.name), tempfile.TemporaryDirectory() as folder:
                copy = pathlib.Path(folder, unit.name)
                # Only the program's place differs: it is not installed here.
                copy.write_text(unit.read_text().replace("/usr/local/bin/ollama-proxy", shutil.which("true")))
                checked = attempt("systemd-analyze", "verify", copy)
                self.assertEqual((checked.returncode, checked.stderr), (0, ""))

    def test_each_unit_is_sandboxed(self):
        for unit in UNITS:
            said = run("systemd-analyze", "security", "--offline=yes", unit)
            exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", said).group(1))
            print(f"systemd-analyze security: {unit.name}: exposure {exposure}", flush=True)
            self.assertLess(exposure, 2.0)


def help_of(*command):
    """What the program in the image says of itself, or of a command."""
    return run("podman", "run", "--rm", "--network", "none", IMAGE, *command, "--help")


def unknown_settings(names, *command):
    """Those that the program's help does not name."""
    said = help_of(*command)
    known = set(re.findall(r"\b[A-Z_]+\b", " ".join(re.findall(r"\[env: ([^]]*)\]", said))))
    return names - known
