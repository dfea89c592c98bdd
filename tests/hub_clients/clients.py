"""Drives the published clients of one generation against an exchange, and compares every byte and every record.

usage: clients.py FACTS, where FACTS is what prepare.py wrote. The versions are those of the Python that runs this.
"""

import filecmp
import gc
import gzip
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.request

facts = json.loads(pathlib.Path(sys.argv[1]).read_text())
home = tempfile.TemporaryDirectory()
# What a lab sets: where the Hub is, and its token. The rest keeps this run to itself.
os.environ.update({
    "HF_ENDPOINT": facts["server"],
    "HF_TOKEN": facts["tokens"]["lab"],
    "HF_HOME": home.name,
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
})

import datasets  # noqa: E402
import huggingface_hub as hub  # noqa: E402
import pandas  # noqa: E402
import pyarrow.dataset  # noqa: E402
import pyarrow.parquet  # noqa: E402
import zstandard  # noqa: E402
from huggingface_hub import errors  # noqa: E402

datasets.disable_progress_bars()
GENERATION = int(hub.__version__.split(".")[0])
api = hub.HfApi()
scratch = pathlib.Path(home.name) / "scratch"


def ok(what):
    print(f"ok   {what}", flush=True)


def shards(repo):
    """Every file that the provider sent, as (path, file)."""
    root = pathlib.Path(repo["source"])
    files = sorted(file for file in root.rglob("*") if file.is_file() and file != root / "README.md")
    return [(file.relative_to(root).as_posix(), file) for file in files]


def assert_same(repo, folder):
    """The folder holds the provider's files, byte for byte, and the card."""
    for path, file in shards(repo):
        assert filecmp.cmp(file, folder / path, shallow=False), f"{path} of {repo['id']} differs"
    assert (folder / "README.md").read_text().startswith("---\n")


def records(repo):
    """The records of a corpus, read from the provider's own files."""
    found = []
    for path, file in shards(repo):
        name, content = file.name, file.read_bytes()
        if name.endswith(".gz"):
            name, content = name[:-3], gzip.decompress(content)
        if name.endswith(".zst"):
            name, content = name[:-4], zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read()
        if name.endswith(".jsonl"):
            found += [json.loads(line) for line in content.decode().splitlines()]
        elif name.endswith(".parquet"):
            found += pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
        elif name.endswith(".txt"):
            found += [{"text": line} for line in content.decode().splitlines()]
        elif name.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                texts = {member.name: tar.extractfile(member).read().decode() for member in tar}
            found += [
                {"txt": text, "json": json.loads(texts[name.replace(".txt", ".json")])}
                for name, text in texts.items()
                if name.endswith(".txt")
            ]
    return found


def in_order(rows):
    return sorted(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows)


def raised(kind, action):
    """The action fails with this exception and no subclass of it."""
    try:
        action()
    except Exception as error:  # noqa: BLE001
        assert type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}"
        return error
    raise AssertionError(f"{kind.__name__} had to be raised")


def who_is_asked():
    who = api.whoami()
    assert who["type"] == "user" and who["orgs"][0]["name"] == "verse-lab", who
    ok("whoami")


def repositories_are_described():
    for repo in facts["repos"].values():
        info = api.dataset_info(repo["id"], files_metadata=True)
        wanted = {path: file.stat().st_size for path, file in shards(repo)}
        sizes = {sibling.rfilename: sibling.size for sibling in info.siblings}
        assert sizes.pop("README.md") and sizes == wanted, (sizes, wanted)
        tree = list(api.list_repo_tree(repo["id"], repo_type="dataset", recursive=True, expand=True))
        files = {entry.path: entry.size for entry in tree if isinstance(entry, hub.hf_api.RepoFile)}
        assert files.pop("README.md") and files == wanted
        folders = {entry.path for entry in tree if isinstance(entry, hub.hf_api.RepoFolder)}
        assert folders == {str(parent) for path in wanted for parent in pathlib.PurePosixPath(path).parents} - {"."}
        assert set(api.list_repo_files(repo["id"], repo_type="dataset")) == set(wanted) | {"README.md"}
        told = api.get_paths_info(repo["id"], [*wanted, "nothing"], repo_type="dataset", expand=True)
        assert {entry.path for entry in told} == set(wanted)
        refs = api.list_repo_refs(repo["id"], repo_type="dataset")
        commits = api.list_repo_commits(repo["id"], repo_type="dataset")
        assert refs.branches[0].target_commit == refs.tags[0].target_commit == commits[0].commit_id == info.sha
    listed = {info.id for info in api.list_datasets(author=facts["author"], limit=1000)}
    assert listed == {repo["id"] for repo in facts["repos"].values()} | {facts["gated"]}, listed
    assert [info.id for info in api.list_datasets(search="odd paths", full=True)] == [facts["repos"]["odd-paths"]["id"]]
    ok("list_datasets, dataset_info, list_repo_tree, list_repo_files, get_paths_info, list_repo_refs, list_repo_commits")


def whole_repositories_are_downloaded():
    for name, repo in facts["repos"].items():
        assert_same(repo, pathlib.Path(hub.snapshot_download(repo["id"], repo_type="dataset")))
        target = scratch / "snapshots" / name
        hub.snapshot_download(repo["id"], repo_type="dataset", local_dir=target, revision="v1")
        assert_same(repo, target)
    ok("snapshot_download, to the cache and to a folder")


def a_download_of_corpex_is_a_cache():
    """What corpex downloaded and verified is found by the clients, which ask no server."""
    cache = scratch / "exported"
    asked = {**os.environ, "CORPEX_SERVER": facts["server"], "CORPEX_TOKEN": facts["tokens"]["lab"]}
    for name, repo in facts["repos"].items():
        to = str(scratch / "by-corpex" / name)
        subprocess.run([facts["program"], "download", repo["id"], "--to", to, "--export-hf-cache", str(cache), "--json"],
                       env=asked, check=True, stdout=subprocess.DEVNULL)
        for revision in (None, "v1"):
            found = hub.snapshot_download(repo["id"], repo_type="dataset", cache_dir=cache, revision=revision, local_files_only=True)
            assert_same(repo, pathlib.Path(found))
    if GENERATION >= 1:
        verified = [str(pathlib.Path(sys.executable).parent / "hf"), "cache", "verify", repo["id"], "--repo-type", "dataset"]
        subprocess.run([*verified, "--cache-dir", str(cache)], check=True, stdout=subprocess.DEVNULL)
    ok("corpex download --export-hf-cache")


def single_files_are_downloaded():
    for repo in facts["repos"].values():
        for path, file in shards(repo):
            for revision in (None, "1", api.dataset_info(repo["id"]).sha):
                got = hub.hf_hub_download(repo["id"], path, repo_type="dataset", revision=revision, force_download=True)
                assert filecmp.cmp(file, got, shallow=False), path
            assert hub.file_exists(repo["id"], path, repo_type="dataset")
        assert not hub.file_exists(repo["id"], "nothing", repo_type="dataset")
    ok("hf_hub_download by branch, tag and commit; file_exists")


def datasets_are_loaded():
    # datasets has no loader of MDS.
    repos = {name: repo for name, repo in facts["repos"].items() if name != "mds"}
    for name, repo in repos.items():
        wanted = in_order(records(repo))
        for streaming in (False, True):
            # From 1.x on, a streamed file that the collector finds closes its connection there and then. If that happens
            # while the same thread takes a connection out of the pool, it waits for the pool's lock for ever, whatever
            # server it talks to. So nothing is collected meanwhile.
            gc.collect()
            gc.disable()
            loaded = datasets.load_dataset(repo["id"], split="train", streaming=streaming)
            rows = [{key: row[key] for key in row if not key.startswith("__")} for row in loaded]
            gc.enable()
            assert in_order(rows) == wanted, f"{name} ({streaming=}): {rows[:1]} instead of {wanted[:1]}"
    ok(f"load_dataset, streaming and not: {', '.join(repos)}")


def file_systems_read_ranges():
    fs = hub.HfFileSystem()
    for repo in facts["repos"].values():
        root = f"datasets/{repo['id']}"
        found = {path.removeprefix(root + "/") for path in fs.find(root)}
        assert found == {path for path, _ in shards(repo)} | {"README.md"}, found
        for path, file in shards(repo):
            content = file.read_bytes()
            assert fs.info(f"{root}/{path}")["size"] == len(content)
            assert fs.cat_file(f"{root}/{path}") == content
            with fs.open(f"{root}/{path}", block_size=1000) as opened:
                for start in {0, len(content) // 3, max(len(content) - 7, 0)}:
                    opened.seek(start)
                    assert opened.read(17) == content[start : start + 17], (path, start)
    if repo := facts["repos"].get("song-ci"):
        [first, *_] = shards(repo)
        url = f"hf://datasets/{repo['id']}/{first[0]}"
        assert pandas.read_parquet(url).equals(pandas.read_parquet(first[1]))
        read = pyarrow.dataset.dataset(f"datasets/{repo['id']}/data", filesystem=fs, format="parquet").to_table()
        assert in_order(read.to_pylist()) == in_order(records(repo))
    ok("HfFileSystem: find, info, cat_file, ranges; pandas; pyarrow.dataset")


def tar_files_are_streamed():
    try:
        import webdataset
    except ImportError:
        return
    repo = facts["repos"]["samples"]
    header = f"Authorization: Bearer {facts['tokens']['lab']}"
    urls = [
        f"pipe:curl -sfL -H '{header}' {facts['server']}/datasets/{repo['id']}/resolve/main/{path}"
        for path, _ in shards(repo)
    ]
    rows = [{"txt": txt, "json": found} for txt, found in webdataset.WebDataset(urls, shardshuffle=False).decode().to_tuple("txt", "json")]
    assert in_order(rows) == in_order(records(repo))
    ok("webdataset over curl")


def commands_work():
    program = str(pathlib.Path(sys.executable).parent / "hf")

    def run(*args):
        ran = subprocess.run([program, *args], capture_output=True, text=True)
        assert ran.returncode == 0, f"hf {args[0]} {args[1]}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    run("auth", "login", "--token", facts["tokens"]["lab"])
    assert "verse-lab" in run("auth", "whoami")
    done = ["hf auth login, whoami"]
    for name, repo in facts["repos"].items():
        target = scratch / "commands" / name
        run("download", repo["id"], "--repo-type", "dataset", "--local-dir", str(target))
        assert_same(repo, target)
        run("download", repo["id"], "--repo-type", "dataset")
        if GENERATION >= 1:
            run("cache", "verify", repo["id"], "--repo-type", "dataset")
            with open(target / shards(repo)[-1][0], "r+b") as victim:
                first = victim.read(1)
                victim.seek(0)
                victim.write(bytes([first[0] ^ 1]))
            spoilt = ["cache", "verify", repo["id"], "--repo-type", "dataset", "--local-dir", str(target)]
            assert subprocess.run([program, *spoilt], capture_output=True).returncode != 0, "a changed byte was not found"
    done += ["hf download"] + (["hf cache verify"] if GENERATION >= 1 else [])
    ok(", ".join(done))


def a_person_signs_a_program_in():
    if GENERATION < 2:
        return
    env = {key: value for key, value in os.environ.items() if key != "HF_TOKEN"}
    env.update({"HF_HOME": str(scratch / "device"), "PYTHONUNBUFFERED": "1"})
    program = str(pathlib.Path(sys.executable).parent / "hf")
    waiting = subprocess.Popen([program, "auth", "login", "--format", "agent"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    while not (code := re.search(r"\b[B-Z]{4}-[B-Z]{4}\b", said)):
        line = waiting.stdout.readline()
        assert line, f"hf auth login ended: {said}"
        said += line
    request = urllib.request.Request(f"{facts['server']}/v1/device-logins/{code[0]}/approval", method="POST")
    request.add_header("Authorization", "Bearer " + facts["tokens"]["lab"])
    urllib.request.urlopen(request, timeout=60).close()
    rest, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, said + rest
    who = subprocess.run([program, "auth", "whoami"], env=env, check=True, capture_output=True, text=True).stdout
    assert "verse-lab" in who, who
    ok("hf auth login without a token")


def refusals_become_the_right_exceptions():
    [repo, *_] = facts["repos"].values()
    [(path, _), *_] = shards(repo)
    # What a client finds in its cache it gives without asking.
    kept = {"repo_type": "dataset", "cache_dir": scratch / "refused"}
    stranger, nobody = hub.HfApi(token=facts["tokens"]["stranger"]), hub.HfApi(token=False)
    for somebody in (stranger, nobody):
        assert somebody.dataset_info(facts["gated"]).gated == "manual"
        for repo_id in (facts["gated"], repo["id"]):
            refused = raised(errors.GatedRepoError, lambda: somebody.hf_hub_download(repo_id, path, **kept))
            assert f"{facts['server']}/v1/listings?dataset={repo_id}" in str(refused), refused
            raised(errors.GatedRepoError, lambda: somebody.snapshot_download(repo_id, **kept))
    for somebody in (api, stranger, nobody):
        for repo_id in (facts["secret"], "nobody/nothing", "nothing"):
            raised(errors.RepositoryNotFoundError, lambda: somebody.dataset_info(repo_id))
            raised(errors.RepositoryNotFoundError, lambda: somebody.list_repo_files(repo_id, repo_type="dataset"))
        raised(errors.RepositoryNotFoundError, lambda: somebody.model_info(repo["id"]))
        # Who forgets that it is a dataset asks for a model.
        raised(errors.RepositoryNotFoundError, lambda: somebody.hf_hub_download(repo["id"], path, cache_dir=scratch / "models"))
    assert hub.HfApi(token=facts["tokens"]["provider"]).dataset_info(facts["secret"]).private
    raised(errors.RevisionNotFoundError, lambda: api.dataset_info(repo["id"], revision="v9"))
    raised(errors.RevisionNotFoundError, lambda: api.hf_hub_download(repo["id"], path, revision="v9", **kept))
    missing = getattr(errors, "RemoteEntryNotFoundError", errors.EntryNotFoundError)
    raised(missing, lambda: api.hf_hub_download(repo["id"], "nothing", **kept))
    raised(missing, lambda: list(api.list_repo_tree(repo["id"], "nothing", repo_type="dataset")))
    bad = hub.HfApi(token="cpx_nonsense")
    # The oldest generation turns this one into an exception of the library below it.
    of_whoami = errors.HfHubHTTPError if GENERATION > 0 else errors.HfHubHTTPError.__mro__[1]
    for kind, action in (
        (of_whoami, bad.whoami),
        (errors.HfHubHTTPError, lambda: bad.dataset_info(repo["id"])),
        (errors.HfHubHTTPError, lambda: bad.hf_hub_download(repo["id"], path, **kept)),
    ):
        refused = raised(kind, action)
        assert refused.response.status_code == 401, refused
    raised(datasets.exceptions.DatasetNotFoundError, lambda: datasets.load_dataset(facts["gated"], token=facts["tokens"]["stranger"]))
    for repo_id in (facts["secret"], "nothing"):
        raised(datasets.exceptions.DatasetNotFoundError, lambda: datasets.load_dataset(repo_id))
    ok("GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError, bad tokens")


def the_end_of_a_licence_is_announced():
    if GENERATION == 0:
        return
    [repo, *_] = facts["repos"].values()
    script = (
        "import sys, huggingface_hub as hub\n"
        "hub.hf_hub_download(sys.argv[1], sys.argv[2], repo_type='dataset', force_download=True)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, repo["id"], shards(repo)[0][0]], check=True, capture_output=True, text=True)
    assert "ends in 20 days" in ran.stderr, ran.stderr
    ok("X-HF-Warning")


print(f"--   huggingface_hub {hub.__version__}, datasets {datasets.__version__}")
for check in (
    who_is_asked,
    repositories_are_described,
    whole_repositories_are_downloaded,
    a_download_of_corpex_is_a_cache,
    single_files_are_downloaded,
    datasets_are_loaded,
    file_systems_read_ranges,
    tar_files_are_streamed,
    commands_work,
    a_person_signs_a_program_in,
    refusals_become_the_right_exceptions,
    the_end_of_a_licence_is_announced,
):
    check()
