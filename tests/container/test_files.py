"""What can be said of the files without running them."""

import re
import subprocess
import tempfile
import pathlib
import shutil
import unittest

import tree_sitter
import tree_sitter_powershell

from engine import IMAGE, ROOT, TOOLS, attempt, run

UNIT = ROOT / "docker" / "systemd" / "ollama-proxy.service"


class Files(unittest.TestCase):
    def test_hadolint_has_nothing_to_say_of_the_dockerfile(self):
        run(TOOLS / "hadolint", "docker/Dockerfile")

    def test_the_build_script_is_powershell(self):
        self.assertFalse(self.powershell((ROOT / "build.ps1").read_bytes()).has_error)

    def test_a_broken_script_would_be_noticed(self):
        self.assertTrue(self.powershell((ROOT / "build.ps1").read_bytes().replace(b"}", b"", 1)).has_error)

    def powershell(self, text):
        parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
        return parser.parse(text).root_node

    def test_every_setting_in_the_compose_file_exists(self):
        known = run("podman", "run", "--rm", "--network", "none", IMAGE, "--help")
        text = (ROOT / "docker-compose.yml").read_text()
        names = re.findall(r"^      (\w+): \$\{\1:-\}$", text, re.M)
        self.assertGreater(len(names), 5)
        unknown = [name for name in names if name != "TZ" and not re.search(rf"env: .*\b{name}\b", known)]
        self.assertEqual(unknown, [])

    def test_systemd_understands_the_unit(self):
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder, UNIT.name)
            # Only the program's place differs: it is not installed here.
            unit.write_text(UNIT.read_text().replace("/usr/local/bin/ollama-proxy", shutil.which("true")))
            checked = attempt("systemd-analyze", "verify", unit)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))

    def test_the_unit_is_sandboxed(self):
        said = run("systemd-analyze", "security", "--offline=yes", UNIT)
        exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", said).group(1))
        print(f"systemd-analyze security: exposure {exposure}", flush=True)
        self.assertLess(exposure, 2.0)
