"""What do others cost on the same machine, in the same minutes? blackbox_exporter (stores nothing) and monitoring-plugins' check_http."""

from __future__ import annotations

import http.client
import resource
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import quote

import psutil

from bench import stage

ICINGA = Path("/usr/sbin/icinga2")
BLACKBOX = Path("/usr/bin/prometheus-blackbox-exporter")
CHECK_HTTP = Path("/usr/lib/nagios/plugins/check_http")
CONFIG = """modules:
  plain: {prober: http, timeout: 4s, http: {preferred_ip_protocol: ip4}}
  tls: {prober: http, timeout: 4s, http: {preferred_ip_protocol: ip4, tls_config: {insecure_skip_verify: true}}}
"""


def blackbox(directory: Path, url: str, seconds: float, clients: int = 32) -> dict[str, object]:
    """Probes/s and CPU per probe of a saturated blackbox_exporter."""
    if not BLACKBOX.exists():
        return {"peer": "blackbox_exporter", "note": "NOT RUN: not installed"}
    (directory / "blackbox.yml").write_text(CONFIG)
    port = stage.free_port()
    process = subprocess.Popen(
        [
            str(BLACKBOX),
            f"--config.file={directory}/blackbox.yml",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(1.5)
        path = f"/probe?module={'tls' if url.startswith('https') else 'plain'}&target={quote(url, safe='')}"
        done, bad, until = [0] * clients, [0] * clients, time.monotonic() + seconds

        def ask(i: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            while time.monotonic() < until:
                connection.request("GET", path)
                body = connection.getresponse().read()
                done[i] += 1
                bad[i] += b"probe_success 1" not in body

        watched = psutil.Process(process.pid)
        before = stage.cpu_seconds([watched])
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(clients)]
        began = time.monotonic()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        spent, lasted, n = stage.cpu_seconds([watched]) - before, time.monotonic() - began, sum(done)
        return {
            "peer": "blackbox_exporter",
            "per_s": round(n / lasted),
            "cpu_ms": round(spent / max(1, n) * 1000, 3),
            "bad": sum(bad),
        }
    finally:
        process.terminate()
        process.wait(10)


def check_http(url_port: int, tls: bool, count: int = 400, parallel: int = 8) -> dict[str, object]:
    """Runs/s and CPU per run of the plugin that Nagios and Icinga fork for each check."""
    if not CHECK_HTTP.exists():
        return {"peer": "check_http", "note": "NOT RUN: not installed"}
    command = [str(CHECK_HTTP), "-I", "127.0.0.1", "-p", str(url_port), "-u", "/", *(["-S"] if tls else [])]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    running: list[subprocess.Popen[bytes]] = []
    bad = 0
    for _ in range(count):
        if len(running) >= parallel:
            bad += running.pop(0).wait() != 0
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    bad += sum(p.wait() != 0 for p in running)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "peer": "check_http",
        "per_s": round(count / (time.monotonic() - began)),
        "cpu_ms": round(spent / count * 1000, 3),
        "bad": bad,
    }


ICINGA_CONFIG = """object CheckerComponent "checker" {{ }}
object CheckCommand "web" {{ command = [ {command} ] }}
for (n in range({count})) {{
  object Host "h" + n use (n) {{
    check_command = "web"; check_interval = 1s; retry_interval = 1s; enable_notifications = false; enable_perfdata = false
  }}
}}
"""


def icinga2(
    directory: Path, status_port: int, port: int, tls: bool, seconds: float, count: int = 800
) -> dict[str, object]:
    """Checks/s and CPU per check of a saturated icinga2 (no database, no notifications) forking check_http; counted by the target."""
    if not ICINGA.exists() or not CHECK_HTTP.exists():
        return {"peer": "icinga2", "note": "NOT RUN: not installed (icinga2-bin, monitoring-plugins-basic)"}
    words = [str(CHECK_HTTP), "-I", "127.0.0.1", "-p", str(port), "-u", "/", *(["-S"] if tls else [])]
    config = directory / "icinga2.conf"
    config.write_text(ICINGA_CONFIG.format(command=", ".join(f'"{w}"' for w in words), count=count))
    places = {"DataDir": "d", "LogDir": "l", "CacheDir": "c", "InitRunDir": "r", "SpoolDir": "s"}
    arguments = ["-D", "Configuration.RunAsUser=root", "-D", "Configuration.RunAsGroup=root"]
    for name, folder in places.items():
        (directory / f"icinga-{folder}").mkdir(exist_ok=True)
        arguments += ["-D", f"Configuration.{name}={directory}/icinga-{folder}"]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ICINGA2_USER": "root", "ICINGA2_GROUP": "root"}
    process = subprocess.Popen(
        [str(ICINGA), "daemon", "-c", str(config), *arguments],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(8)
        watched = stage.family(psutil.Process(process.pid))
        before, cpu, began = _requests(status_port), _cpu_with_children(watched), time.monotonic()
        time.sleep(seconds)
        n, spent, lasted = (
            _requests(status_port) - before - 1,
            _cpu_with_children(watched) - cpu,
            time.monotonic() - began,
        )
        return {"peer": "icinga2", "per_s": round(n / lasted), "cpu_ms": round(spent / max(1, n) * 1000, 3)}
    finally:
        process.terminate()
        process.wait(20)


def _requests(port: int) -> int:
    """How many requests the local nginx has handled."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/status")
    return int(connection.getresponse().read().decode().splitlines()[2].split()[2])


def _cpu_with_children(processes: list[psutil.Process]) -> float:
    """Their own time and that of children that have ended."""
    total = 0.0
    for p in processes:
        try:
            t = p.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += t.user + t.system + t.children_user + t.children_system
    return total
