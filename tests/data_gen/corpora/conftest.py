"""Small corpora in the shape of their downloads, and the real ones where they lie beside the repository."""

import json
import zipfile
from pathlib import Path

import pytest

REAL = Path(__file__).resolve().parents[3] / "../shared/data"

STEPS = ["Wash the rice", "Peel a carrot", "Boil water", "Chop onions", "Fry garlic", "Serve soup"]
PARTS = [["Open the tap", "Rinse grains"], ["Hold knife", "Strip skin"], [], ["Fetch board", "Slice bulb"], [], []]


def goalstep_document() -> dict:
    def action(text: str, start: float, end: float, **more: object) -> dict:
        return {
            "start_time": start,
            "end_time": end,
            "step_description": text,
            "step_category": "",
            "summary": [],
            **more,
        }

    videos = []
    for uid in ("first", "second"):
        segments = []
        for place, (text, parts) in enumerate(zip(STEPS, PARTS, strict=True)):
            start = 10.0 + 40 * place
            inner = [action(part, start + 10 * n, start + 10 * n + 9) for n, part in enumerate(parts)]
            segments.append(action(text, start, start + 38, segments=inner))
        videos.append({"video_uid": uid, "end_time": 300.0, "goal_description": "Cook soup", "segments": segments})
    return {"videos": videos}


def hirest_document() -> dict:
    steps = [
        {"index": place, "heading": text, "absolute_bounds": [10 + 20 * place, 30 + 20 * place]}
        for place, text in enumerate(STEPS)
    ]
    row = {"relevant": True, "clip": True, "v_duration": 150.5, "bounds": [10, 130], "steps": steps}
    return {"Make soup": {"one.mp4": row, "two.mp4": json.loads(json.dumps(row))}}


def cgbench_document() -> list:
    return [
        {
            "qid": number, "video_uid": f"v{number}", "question": "What colour?", "answer": "Red",
            "choices": ["Blue", "Red", "Green", "Black", "White"], "right_answer": "B",
            "clue_intervals": [[8.0, 11.0]], "domain": "x", "sub_category": "Entity Perception", "duration": 700,
        }
        for number in range(4)
    ]  # fmt: skip


def mlvu_document() -> list:
    return [
        {
            "video": f"movie_{number}.mp4", "duration": 300.5, "question": "Who?", "answer": "She",
            "candidates": ["He", "She", "It", "We"], "question_type": "plotQA",
        }
        for number in range(4)
    ]  # fmt: skip


def lvbench_document() -> list:
    return [
        {
            "key": f"film{number}", "type": "cartoon", "video_info": {"duration_minutes": 90},
            "qa": [
                {
                    "uid": str(10 * number + place), "question": "What year appears?\n(A) 1636\n(B) 1366\n(C) 1363",
                    "answer": "B", "question_type": ["key information retrieval", "reasoning"],
                    "time_reference": reference,
                }
                for place, reference in enumerate(("00:15-00:19", "1:29:50-1:29:58", ""))
            ],
        }
        for number in range(2)
    ]  # fmt: skip


def videomme_document() -> list:
    return [
        {
            "video_id": f"00{number}", "duration": length, "domain": "Knowledge", "sub_category": "Astronomy",
            "url": "https://example.org", "videoID": f"yt{number}", "question_id": f"00{number}-1",
            "task_type": "Counting Problem", "question": "How many moons?",
            "options": ["A. One.", "B. Two.", "C. Three.", "D. None."], "answer": "C",
        }
        for number, length in enumerate(("short", "medium", "long", "long"))
    ]  # fmt: skip


def nextgqa_document() -> dict:
    """The three files in one object: `rows` of val.csv, `gsub`, and `captions` by video."""
    rows, gsub, captions = [], {}, {}
    for video in ("11", "22"):
        for qid in ("0", "1"):
            row = {
                "video_id": video,
                "frame_count": "600",
                "width": "640",
                "height": "480",
                "question": "why did he run",
            }
            row |= {"answer": "to win", "qid": qid, "type": "CW"}
            rows.append(row | {f"a{n}": text for n, text in enumerate(["to eat", "to win", "to sit", "to go", "fun"])})
        gsub[video] = {"duration": 20, "fps": 30.0, "location": {"0": [[1.5, 4.0]], "1": [[3.0, 5.0], [7, 9.5]]}}
        captions[video] = {
            str(n): f"The image shows a man in scene {n}. He holds thing{n // 4}. The overall mood is calm."
            for n in range(20)
        }
    return {"rows": rows, "gsub": gsub, "captions": captions}


def write(corpus: str, document: object, folder: Path) -> Path:
    """Writes a corpus's files under their downloaded names; a document may be broken anywhere inside."""
    folder.mkdir(parents=True, exist_ok=True)
    if corpus == "nextgqa":
        import csv

        columns = list(nextgqa_document()["rows"][0])
        with open(folder / "val.csv", "w", newline="", encoding="utf-8", errors="surrogatepass") as file:
            table = csv.writer(file)
            table.writerow(columns)
            for row in document["rows"]:
                table.writerow([row[c] for c in columns if c in row] if isinstance(row, dict) else [str(row)])
        (folder / "gsub_val.json").write_text(json.dumps(document["gsub"]))
        with zipfile.ZipFile(folder / "captions_1fps.zip", "w") as archive:
            for video, captions in document["captions"].items():
                archive.writestr(f"{video}_cap.json", json.dumps(captions))
        return folder
    if corpus == "lvbench":
        (folder / "video_info.meta.jsonl").write_text("".join(json.dumps(row) + "\n" for row in document))
        return folder
    if corpus == "videomme":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(document), folder / "test-00000-of-00001.parquet")
        return folder
    name = {
        "goalstep": "goalstep_valid.json", "hirest": "all_data_val.json", "cgbench": "cgbench_mini.json",
        "mlvu": "1_plotQA.json",
    }[corpus]  # fmt: skip
    (folder / name).write_text(json.dumps(document))
    return folder


DOCUMENTS = {
    "goalstep": goalstep_document, "nextgqa": nextgqa_document, "hirest": hirest_document, "cgbench": cgbench_document,
    "mlvu": mlvu_document, "lvbench": lvbench_document, "videomme": videomme_document,
}  # fmt: skip


class Corpora:
    """Writing and changing the small corpora."""

    names = tuple(DOCUMENTS)
    steps = STEPS
    write = staticmethod(write)

    @staticmethod
    def document(corpus: str):
        return DOCUMENTS[corpus]()


@pytest.fixture(scope="session")
def corpora() -> type[Corpora]:
    return Corpora


@pytest.fixture
def small(tmp_path):
    """`small("goalstep", change)` writes a small corpus, its document changed in place first, and gives the folder."""

    def make(corpus: str, change=lambda document: None) -> Path:
        document = DOCUMENTS[corpus]()
        change(document)
        return write(corpus, document, tmp_path / corpus)

    return make


@pytest.fixture(scope="session")
def real():
    """`real("nextgqa")`: the folder of a real corpus; the test is skipped where it is absent."""

    def folder(name: str) -> Path:
        found = REAL / name
        if not found.is_dir():
            pytest.skip(f"{name} is not at {REAL}")
        return found

    return folder
