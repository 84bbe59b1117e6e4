"""The census over HTTP: a survey is sent, checked by the worker, repaired, sampled, published, taken back."""

import csv
import hashlib
import io
import os
from uuid import uuid4

import mapbox_vector_tile
from PIL import Image

from api import background
from gis import geometry
from gis.settings import settings

MAPPING = """
kind: components
source: test
crs: EPSG:4490
geometry: {x: X, y: Y}
identifier: {column: code, kind: component_code}
category: {catalogue: cjt214-2007}
fields:
  competent_unit: {column: unit}
"""


def survey(client, headers) -> list[dict]:
    """Rows that say what is published of the rain grates of some villages."""
    items = client.get("/api/components?category=0104&limit=200", headers=headers).json()["items"]
    return [{"code": c["code"], "X": c["lon"], "Y": c["lat"], "unit": c["competent_unit"]} for c in items]


def send(client, headers, rows: list[dict], **form: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    sent = client.post(
        "/api/census/drafts",
        headers=headers,
        files={"file": ("survey.csv", text.getvalue().encode(), "text/csv")},
        data={"mapping": MAPPING, "name": "第二次普查", "removal": "none", **form},
    )
    assert sent.status_code == 202, sent.text
    return f"/api/census/drafts/{sent.json()['id']}"


def test_a_survey_goes_all_the_way_into_the_census_and_back(client, login, worker):
    headers = login("census")
    rows = survey(client, headers)
    rows[0]["unit"] = "没有的单位"
    rows[1]["X"] += 5e-5
    rows[2]["X"], rows[2]["Y"] = rows[2]["Y"], rows[2]["X"]
    draft = send(client, headers, rows)
    assert client.get(draft, headers=headers).json()["checking"]["state"] == "queued"
    busy = client.post(f"{draft}/repairs", headers=headers, json={"revision": 0, "kind": "exclude"})
    assert (busy.status_code, busy.json()["code"]) == (409, "draft_busy")
    worker()
    told = client.get(draft, headers=headers).json()
    assert (told["state"], told["checking"], told["counts"]["bad"]) == ("open", None, 2)
    found = client.get(f"{draft}/findings?severity=error", headers=headers).json()["items"]
    assert [(one["row"], one["code"], one["suggestion"]["kind"]) for one in found] == [
        *((2, "department_unknown", "map"), (4, "swapped_axes", "swap"))
    ]
    assert found[0]["received"]["unit"] == "没有的单位"
    download = client.get(f"{draft}/findings.csv", headers=headers)
    assert "department_unknown" in download.content.decode("utf-8-sig")

    for code in ("department_unknown", "swapped_axes"):
        revision = client.get(draft, headers=headers).json()["revision"]
        body = {"revision": revision, "kind": "accept", "code": code}
        assert client.post(f"{draft}/repairs", headers=headers, json=body).status_code == 202
        worker()
    stale = client.post(f"{draft}/repairs", headers=headers, json={"revision": 1, "kind": "exclude"})
    assert stale.json()["code"] == "stale_census"
    told = client.get(draft, headers=headers).json()
    assert (told["counts"]["bad"], [r["kind"] for r in told["repairs"]]) == (0, ["map", "swap"])
    differences = client.get(f"{draft}/differences", headers=headers).json()["items"]
    assert [(one["kind"], one["code"]) for one in differences] == [("moved", rows[1]["code"])]
    z, (lon, lat) = 15, (differences[0]["lon"], differences[0]["lat"])
    shapes = client.get(f"{draft}/differences.geojson", headers=headers).json()["features"]
    assert (shapes[0]["geometry"]["type"], shapes[0]["geometry"]["coordinates"][1]) == ("LineString", [lon, lat])
    x, y = tile_of(z, lon, lat)
    tile = client.get(f"{draft}/tiles/{z}/{x}/{y}.mvt", headers=headers)
    (feature,) = mapbox_vector_tile.decode(tile.content)["differences"]["features"]
    assert (feature["properties"]["kind"], feature["properties"]["code"]) == ("moved", rows[1]["code"])

    early = client.post(f"{draft}/publish", headers=headers, json={"revision": told["revision"]})
    assert early.json()["code"] == "draft_unready"
    drawn = client.post(f"{draft}/sample", headers=headers, json={"revision": told["revision"], "plan": "aql4"})
    assert drawn.status_code == 201, drawn.text
    sampled = client.get(f"{draft}/sample", headers=headers).json()["rows"]
    sheet = csv.DictReader(io.StringIO(client.get(f"{draft}/sample.csv", headers=headers).content.decode("utf-8-sig")))
    assert [(one["place"], one["code"]) for one in sheet] == [(str(one["place"]), one["code"]) for one in sampled]
    for one in sampled[:3]:
        body = {"faults": [], "lon": one["lon"], "lat": one["lat"]}
        answer = client.put(f"{draft}/sample/{one['row']}", headers=headers, json=body).json()
        assert (answer["result"], answer["state"]) == ("good", "open")
    rest = client.post(f"{draft}/sample/rest", headers=headers)
    assert rest.json() == {"recorded": len(sampled) - 3, "state": "accepted"}
    assert client.post(f"{draft}/sample/rest", headers=headers).json()["code"] == "sample_state"
    locked = client.post(f"{draft}/check", headers=headers)
    assert locked.json()["code"] == "draft_sampled"
    kept = list((settings().home / "surveys").iterdir())
    assert len(kept) == 1
    published = client.post(f"{draft}/publish", headers=headers, json={"revision": told["revision"]})
    assert published.status_code == 200, published.text
    assert {kind: published.json()[kind] for kind in ("added", "moved", "changed", "removed")} == {
        "added": 0,
        "moved": 1,
        "changed": 0,
        "removed": 0,
    }
    assert not kept[0].exists()
    history = client.get(f"/api/components/{rows[1]['code']}/history", headers=headers).json()["versions"]
    assert (history[0]["version"], history[0]["survey"]) == (2, "test")
    told = client.get(f"/api/components/{rows[1]['code']}", headers=headers).json()
    assert (told["version"], told["category_name"], told["case_categories"]) == (
        *(2, "雨水箅子"),
        [{"code": "0104", "name": "雨水箅子"}],
    )
    assert "2007" in told["catalogue_name"]["zh"]
    back = client.post(
        f"/api/census/surveys/{published.json()['survey']}/revert", headers=headers, json={"note": "发错了"}
    )
    assert (back.json()["restored"], back.json()["removed"]) == (1, 0)
    surveys = client.get("/api/census/drafts", headers=headers).json()["surveys"]
    assert next(s for s in surveys if s["id"] == published.json()["survey"])["reverted"] == back.json()["survey"]


def tile_of(z: int, lon: float, lat: float) -> tuple[int, int]:
    px, py = geometry.world_pixel(lon, lat)
    return px >> (28 - z), py >> (28 - z)


def test_a_file_in_another_system_is_refused_whole_and_can_be_read_anew_or_withdrawn(client, login, worker):
    headers = login("census")
    rows = [row | {"X": row["Y"], "Y": row["X"]} for row in survey(client, headers)]
    draft = send(client, headers, rows)
    worker()
    told = client.get(draft, headers=headers).json()
    assert (told["state"], told["problem"]["detail"]["reason"]) == ("refused", "swapped_axes")
    body = {"revision": told["revision"], "kind": "swap", "items": {"0": None}}
    assert client.post(f"{draft}/repairs", headers=headers, json=body).status_code == 202
    worker()
    told = client.get(draft, headers=headers).json()
    assert (told["state"], told["counts"]["differences"]["unchanged"]) == ("open", len(rows))
    assert client.delete(f"{draft}/repairs/1", headers=headers).status_code == 202
    worker()
    assert client.get(draft, headers=headers).json()["state"] == "refused"
    (kept,) = list((settings().home / "surveys").iterdir())
    assert client.post(f"{draft}/withdraw", headers=headers, json={"note": "重测"}).status_code == 200
    assert not kept.exists()
    assert client.post(f"{draft}/check", headers=headers).json()["code"] == "draft_ended"


def test_a_large_survey_is_taken_and_a_strangers_is_refused_unread(client, login):
    rows = [row | {"remark": "多" * 30_000} for row in survey(client, login("census"))[:30]]
    draft = send(client, login("census"), rows)
    assert client.get(draft, headers=login("census")).json()["checking"]["state"] == "queued"
    file = {"file": ("survey.csv", b"code,X,Y,unit\n" + b"x" * 3_000_000, "text/csv")}
    refused = client.post(
        "/api/census/drafts", headers=login("leader"), files=file, data={"mapping": "no such mapping"}
    )
    assert refused.json()["code"] == "forbidden"


def test_a_file_of_another_place_says_where_it_lies(client, login, worker):
    headers = login("census")
    draft = send(client, headers, [row | {"X": row["X"] + 10} for row in survey(client, headers)])
    worker()
    problem = client.get(draft, headers=headers).json()["problem"]
    # Ten degrees along the parallel of 40.1°: 851 km, on the great circle a little less.
    assert problem["detail"]["reason"] == "outside_town"
    assert abs(problem["detail"]["away_km"] - 851) < 5
    assert "公里" in problem["title"]
    assert client.post(f"{draft}/withdraw", headers=headers, json={"note": "别处的"}).status_code == 200


def test_who_looks_may_not_decide_and_who_may_neither_sees_nothing(client, login):
    assert client.get("/api/census/drafts", headers=login("leader")).status_code == 200
    refused = client.post("/api/census/systems/fit", headers=login("leader"), json={"points": []})
    assert refused.json()["code"] == "forbidden"
    assert client.get("/api/census/drafts", headers=login("inspector001")).status_code == 403


def test_a_local_system_is_fitted_stored_and_told_with_its_residuals(client, login):
    headers = login("census")
    points = [
        {"name": f"K{n}", "x": x, "y": y, "east": 460_000.0 + x, "north": 4_430_000.0 + y}
        for n, (x, y) in enumerate([(1000, 1000), (9000, 1200), (8800, 9000), (1100, 9100), (5000, 5000)])
    ]
    points[4]["x"] += 2
    body = {"name": {"zh": "独立坐标系", "en": "Local"}, "points": points}
    report = client.post("/api/census/systems/fit", headers=headers, json=body).json()
    assert (report["outliers"], report["within"], report["redundancy"]) == (["K4"], False, 6)
    points[4]["use"] = False
    saved = client.put("/api/census/systems/renhe-local", headers=headers, json=body)
    assert saved.json() == {"code": "renhe-local", "version": 1}
    (listed,) = client.get("/api/census/systems", headers=headers).json()["items"]
    assert (listed["code"], listed["report"]["within"]) == ("renhe-local", True)
    few = client.post("/api/census/systems/fit", headers=headers, json=body | {"points": points[:1]})
    assert (few.status_code, few.json()["code"]) == (422, "definition_bad")


def test_components_are_found_and_counted_across_catalogues(client, login):
    headers = login("leader")
    native = client.get("/api/component-statistics", headers=headers).json()
    other = client.get("/api/component-statistics?catalogue=gbt30428-2013", headers=headers).json()
    total = sum(one["n"] for one in native["items"])
    assert sum(one["n"] for one in other["items"]) + sum(one["n"] for one in other["apart"]) == total
    lamps = next(one for one in native["items"] if one["name"] == "路灯")
    assert next(one for one in other["items"] if one["name"] == "路灯") == {
        "code": "0137",
        "name": "路灯",
        "n": lamps["n"],
    }
    found = client.get("/api/components?catalogue=gbt30428-2013&category=0137&limit=5", headers=headers).json()["items"]
    assert {(c["catalogue"], c["category_code"]) for c in found} == {("cjt214-2007", "0118")}
    side = client.get("/api/catalogue-mapping?source=cjt214-2007&target=gbt30428-2013", headers=headers).json()["items"]
    split = next(one for one in side if one["code"] == "0117")
    assert [one["name"] for one in split["counterparts"]] == ["电力立杆", "通信立杆"]


def test_a_component_gets_photos_of_its_own(client, login):
    headers = login("census")
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(picture, "PNG")
    digest = hashlib.sha256(picture.getvalue()).hexdigest()
    assert client.put(f"/api/media/{digest}", headers=headers, content=picture.getvalue()).status_code == 200
    code = survey(client, headers)[0]["code"]
    body = {"photos": [digest]}
    assert client.post(f"/api/components/{code}/photos", headers=headers, json=body).json() == {"added": 1}
    assert client.post(f"/api/components/{code}/photos", headers=headers, json=body).json() == {"added": 0}
    (told,) = client.get(f"/api/components/{code}/history", headers=headers).json()["photos"]
    assert (told["sha256"], told["case"]) == (digest, None)
    image = client.get(f"/api/components/{code}/photos/{digest}", headers=login("inspector001"))
    assert (image.headers["content-type"], image.content) == ("image/png", picture.getvalue())
    assert client.get(f"/api/components/{code}/photos/{'0' * 64}", headers=headers).status_code == 404


def test_a_file_whose_process_was_killed_is_swept_away(client, login):
    headers = login("census")
    send(client, headers, survey(client, headers))
    folder = settings().home / "surveys"
    (kept,) = folder.glob("*")
    lost = folder / f"{uuid4()}.csv"
    lost.write_text("half of a survey")
    assert background.sweep() == 0, "it may be one that is being noted just now"
    for one in (kept, lost):
        os.utime(one, (0, 0))
    (folder / "gone.csv").symlink_to("deleted while the folder is read")
    assert background.sweep() == 1
    (folder / "gone.csv").unlink()
    assert list(folder.glob("*")) == [kept]
