"""A real Prometheus and rulepush that scrape the same jobs, each by a path of its own, so that the target can count."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.servers import binary, free_port, rulepush_command, running


@contextlib.contextmanager
def scraping_pair(
    home: Path, target: str, jobs: Mapping[str, Mapping[str, Any]], features: tuple[str, ...] = (), **settings: Any
) -> Iterator[tuple[str, str]]:
    """Both, every 2 s, for the length of the block: the URLs of theirs and of ours. `jobs` has the settings of each, by
    its name; its path is /NAME/theirs or /NAME/ours. Native histograms are scraped, `settings` are global ones, and
    `features` are feature flags of both."""
    addresses = {who: f"127.0.0.1:{free_port()}" for who in ("theirs", "ours")}

    def config(who: str) -> dict[str, Any]:
        made = [
            {
                "job_name": name,
                "metrics_path": f"/{name}/{who}",
                **more,
                "static_configs": [{"targets": [target], "labels": {"instance": "t"}}],
            }
            for name, more in jobs.items()
        ]
        return {"global": {"scrape_interval": "2s", **settings}, "scrape_configs": made}

    ours = config("ours")
    for job in ours["scrape_configs"]:
        job["scrape_native_histograms"] = True
    (home / "theirs.yml").write_text(json.dumps(config("theirs")))
    (home / "ours.yml").write_text(json.dumps({**ours, "storage": {"keep": "all"}}))
    flags = {who: [f"--config.file={home}/{who}.yml", f"--web.listen-address={at}"] for who, at in addresses.items()}
    feature = "--enable-feature="
    real = [binary("prometheus"), *flags["theirs"], f"--storage.tsdb.path={home}/data"]
    real.append(feature + ",".join((*features, "native-histograms")))
    mine = rulepush_command("run", *flags["ours"], *([feature + ",".join(features)] if features else []))
    urls = {who: f"http://{at}" for who, at in addresses.items()}
    with (
        running(real, home / "theirs.log", f"{urls['theirs']}/-/ready"),
        running(mine, home / "ours.log", f"{urls['ours']}/-/ready"),
    ):
        yield urls["theirs"], urls["ours"]
