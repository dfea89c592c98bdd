"""Writes a corpus of MDS shards with MosaicML streaming, or streams it from an exchange and compares every sample.

usage: mds.py write FOLDER
       mds.py read FACTS, where FACTS is what prepare.py wrote.

Of PyTorch, torchvision and transformers it takes no more here than the names of classes, and the answer that one process reads
with one worker. They are gigabytes, so they have stand-ins.
"""

import json
import os
import pathlib
import sys
import tempfile
import types

STAND_INS = {
    "torch": {"Tensor": object},
    "torch.distributed": {"is_available": lambda: False},
    "torch.utils.data": {
        "DataLoader": object, "Dataset": object, "IterableDataset": object, "get_worker_info": lambda: None,
    },
    "torchvision.datasets": {"VisionDataset": object},
    "torchvision.transforms.functional": {"to_tensor": None},
    "transformers.feature_extraction_utils": {"BatchFeature": object},
    "transformers.models.auto.tokenization_auto": {"AutoTokenizer": object},
    "transformers.tokenization_utils_base": {"BatchEncoding": object},
}
for name, members in STAND_INS.items():
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(members)

import numpy  # noqa: E402
import streaming  # noqa: E402

COLUMNS = {"id": "int", "text": "str", "tokens": "ndarray:uint16", "origin": "json", "raw": "bytes"}
# How each split is packed.
SPLITS = {"train": None, "validation": "zstd:3"}


def samples(split):
    """The samples of a split: what is read has to be what was written."""
    for number in range(1500):
        yield {
            "id": number,
            "text": f"第{number}句" * (number % 7),
            "tokens": numpy.arange(1 + number % 50, dtype=numpy.uint16),
            "origin": {"split": split, "line": number},
            "raw": bytes([number % 256]) * (number % 33),
        }


def write(folder):
    for split, compression in SPLITS.items():
        packed = {"compression": compression, "hashes": ["sha1"], "size_limit": 1 << 16}
        with streaming.MDSWriter(out=str(folder / split), columns=COLUMNS, **packed) as out:
            for sample in samples(split):
                out.write(sample)


def plain(sample):
    assert sample["tokens"].dtype == numpy.uint16
    return {**sample, "tokens": sample["tokens"].tolist()}


def read(facts):
    with tempfile.TemporaryDirectory() as home:
        os.environ.update({"HF_ENDPOINT": facts["server"], "HF_HOME": home, "HF_HUB_DISABLE_TELEMETRY": "1"})
        os.environ.update({"HF_TOKEN": facts["tokens"]["lab"], "HF_HUB_DISABLE_PROGRESS_BARS": "1"})
        import huggingface_hub as hub

        print(f"--   mosaicml-streaming {streaming.__version__}, huggingface_hub {hub.__version__}")

        def dataset(split, local):
            found = {"remote": f"hf://datasets/{facts['repos']['mds']['id']}", "local": f"{home}/{local}", "split": split}
            return streaming.StreamingDataset(**found, shuffle=True, batch_size=1, validate_hash="sha1")

        for split in SPLITS:
            stream = dataset(split, "lab")
            for epoch in range(2):
                got = sorted(stream, key=lambda sample: sample["id"])
                assert list(map(plain, got)) == list(map(plain, samples(split))), f"{split}, epoch {epoch}"
        os.environ["HF_TOKEN"] = facts["tokens"]["stranger"]
        try:
            dataset("train", "stranger")
        except hub.errors.GatedRepoError as refused:
            assert f"{facts['server']}/v1/listings?dataset={facts['repos']['mds']['id']}" in str(refused), refused
        else:
            raise AssertionError("GatedRepoError had to be raised")
    print(f"ok   StreamingDataset: {', '.join(SPLITS)}; GatedRepoError", flush=True)


if sys.argv[1] == "write":
    write(pathlib.Path(sys.argv[2]))
else:
    read(json.loads(pathlib.Path(sys.argv[2]).read_text()))
