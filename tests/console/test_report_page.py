"""The report: what stands in it, who may read it, what becomes of strangers' words, and of a link that is over."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape

import pytest
from django.conf import settings

from console.pages import report_charts, report_evidence, report_paths, report_verdict
from monitors import services
from monitors.diagnosis import links
from monitors.models import Baseline, Diagnosis, Monitor
from portal.clock import database_now
from tests import cast
from tests.console import report_scene, scene
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db

BAD = (
    "<script>window.broken=1</script>", '"><img src=x onerror=alert(1)>', "</title></svg><b>x</b>", "{{ 7|add:7 }}{% now %}", "javascript:alert(1)",
    "evil\u202egnp.exe", "zero\u200bwidth", "bell\x07esc\x1b[31mred", "line\nbreak\ttab", "x" * 10_000, "&lt;script&gt;",
)  # fmt: skip


def hostile() -> Diagnosis:
    """A diagnosis whose every text was written by somebody unkind."""
    turn = iter(range(10_000))

    def bad() -> str:
        return BAD[next(turn) % len(BAD)]

    def spoilt(value):
        if isinstance(value, dict):
            return {k: v if k in ("status", "proto", "slug", "error_class") else spoilt(v) for k, v in value.items()}
        if isinstance(value, list):
            return [spoilt(v) for v in value]
        return bad() if isinstance(value, str) else value

    d = report_scene.diagnosis()
    d.evidence = {**spoilt(d.evidence), "usual": spoilt(d.evidence["usual"])}
    d.verdict = {
        **spoilt(report_scene.VERDICT),
        "layer": "transit",
        "regions": report_scene.VERDICT["regions"],
        "summary": BAD[0] + BAD[5],
    }
    d.save()
    return d


def path_of(d: Diagnosis) -> str:
    return f"/r/{links.token_of(d)}/"


def read(d: Diagnosis):
    return browser().get(path_of(d))


# --- What stands in it -------------------------------------------------------------------------------------------------
def test_the_cause_comes_first_with_how_sure_it_is_and_who_saw_it():
    page = read(report_scene.diagnosis())
    body = page.content.decode()
    assert page.status_code == 200 and re.findall(r"<h1[^>]*>(.*?)</h1>", body) == [report_scene.SUMMARY]
    head = text(page).partition("Where packets go")[0]
    for word in ("Acme", "api", "Down", "Probably", "0.87", "The route in between", "hop 6, 192.0.2.60, AS64620", "3 of 4 places", "Frankfurt, Amsterdam, São Paulo", "No answer within 5 s", "Failing since"):  # fmt: skip
        assert word in head, word


def test_all_that_was_measured_can_be_read():
    page = text(read(report_scene.diagnosis()))
    for word in (
        "42 % of packets are lost from hop 6 on, and the loss lasts until the target seen from Frankfurt, Amsterdam, São Paulo",
        "From inside the client's network it answers seen from Acme LAN", "Names (DNS) Every resolver gives the usual address",
        "Raw sockets need CAP_NET_RAW", "not finished in time: authoritative", "made a moment before", "inside the client's network",
        "3 of 5 connected", "1500 bytes pass whole", "Resolver 192.0.2.54 No answer in time", "203.0.113.9 not the usual", "the zone itself ns1.acme.example",
        "not the usual one", "usually by Example CA", "much slower than usual", "2 of 3 independent places reached", "4 of 5 neighbours", "4 of 9 failing in the same network",
        "The first check failed", "São Paulo and Acme LAN began to look", "Frankfurt had looked after 3.90 s", "Revised once since", "Route from Frankfurt moved: AS64510 → AS64620", "Also wrong",
    ):  # fmt: skip
        assert word in unescape(page), word


def test_every_path_is_drawn_on_one_scale_with_a_twin_in_numbers():
    body = read(report_scene.diagnosis()).content.decode()
    pictures = re.findall(r'<svg [^>]*class="chart path".*?</svg>', body, re.DOTALL)
    assert len(pictures) == 7 and len({re.search(r'viewBox="([^"]+)"', p)[1] for p in pictures}) == 1
    first = pictures[0]
    assert (
        "<title id=" in first
        and "<desc id=" in first
        and "40 % lost from hop 6 on" in first
        and "Hop 6 is suspected" in first
    )
    assert (
        first.count('class="hop hop-suspected"') == 1
        and first.count('class="hop hop-silent"') == 1
        and 'class="hop hop-target"' in first
    )
    assert (
        first.count('class="other"') == 2
        and 'class="ghost"' in first
        and "AS64620 Example Transit" in first
        and ">new</text>" in first
    )
    tables = re.findall(r'-numbers">.*?</table>', body, re.DOTALL)
    assert len(tables) == 7 and all(t.count('<th scope="col"') == 9 for t in tables)
    row = text_of(re.findall(r"<tr.*?</tr>", tables[0], re.DOTALL)[6])
    assert row.startswith("6 192.0.2.60 r6.example.net AS64620 Example Transit 10 40 % 0 %") and "suspected" in row
    assert "answers seldom, passes packets on" in tables[0], (
        "a router that answers rarely is not where packets are lost"
    )


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).strip()


def test_nothing_needs_a_script_and_nothing_is_inline():
    body = read(report_scene.diagnosis()).content.decode()
    assert " style=" not in body and not re.search(r"\son\w+=", body) and "<script>" not in body
    assert body.count("<h1") == 1 and all(' scope="' in tag for tag in re.findall(r"<th[ >][^>]*>?", body))
    ids = re.findall(r'\sid="([^"]+)"', body)
    assert len(ids) == len(set(ids)), "every id once"
    assert set(re.findall(r'aria-labelledby="([^"]+)"', body)) and all(i in ids for found in re.findall(r'aria-labelledby="([^"]+)"', body) for i in found.split())  # fmt: skip


# --- States ------------------------------------------------------------------------------------------------------------
def test_while_it_is_looked_for_what_has_come_is_shown_and_the_page_renews_itself():
    d = report_scene.diagnosis(state="gathering")
    Diagnosis.objects.filter(pk=d.pk).update(deadline_at=database_now() + timedelta(seconds=6))
    page = read(d)
    body = page.content.decode()
    assert (
        "Looking for the cause…" in body and "1 of 4 probes have told" in text(page) and 'hx-trigger="every 1s' in body
    )
    assert f'href="{path_of(d)}"' in body and "http-equiv" not in body, "without scripts a link does it"
    assert "It is looking now…" in body and 'class="chart path"' in body
    part = browser().get(path_of(d), headers={"HX-Request": "true", "HX-Target": "report"})
    assert part.content.decode().lstrip().startswith('<div id="report"') and "<html" not in part.content.decode()


def test_what_is_usual_and_what_was_measured_a_moment_before_are_shown_while_it_is_looked_for():
    """Until it is judged the baselines are read as they are, and a shared battery without the other monitor's own words."""
    first = report_scene.diagnosis(state="done")
    other = scene.monitor(cast.globex(), "theirs", config={"url": "https://api.acme.example/their-own-page"})
    d = report_scene.diagnosis(other, state="gathering")
    donor = first.batteries.get(probe__slug="ams")
    d.batteries.filter(probe__slug="ams").update(state="done", reused=donor, evidence={"reused_from": donor.pk})
    Baseline.objects.create(
        monitor=other, probe=donor.probe, next_at=database_now(), learned_at=database_now(), data=report_scene.usual(1)
    )
    body = read(d).content.decode()
    of_ams = body.partition(f'id="path-{donor.probe_id}-0"')[2].partition("</figure>")[0]
    assert 'class="ghost"' in of_ams and "measured a moment before" in of_ams
    saw = text_of(body.partition(f'id="from-{donor.probe_id}"')[2].partition("</article>")[0])
    assert "3 of 5 connected" in saw and "The check itself" not in saw, (
        "what that monitor's own check said is that client's"
    )


def test_it_stops_renewing_itself():
    d = report_scene.diagnosis()
    Diagnosis.objects.filter(pk=d.pk).update(finished_at=database_now() - timedelta(hours=1))
    assert "hx-trigger" not in read(d).content.decode()


@pytest.mark.parametrize(
    ("state", "word"), [("dropped", "It was well again before anything was seen"), ("done", "No probe sent evidence")]
)
def test_a_diagnosis_without_evidence_says_so(state, word):
    d = report_scene.diagnosis(state=state, evidence=False)
    page = read(d)
    assert (
        page.status_code == 200
        and word in text(page)
        and "<svg xmlns" not in page.content.decode().partition("<main")[2]
    )


@pytest.mark.parametrize("broken", [
    {"paths": "x"}, {"paths": [{"hops": [{"ttl": "7"}, {"ttl": 1e300}, 5, None]}]}, {"own": [], "names": 7, "tls": "no", "http": {"phases": []}},
    {"paths": [{"proto": 3, "hops": [{"ttl": 1, "sent": -1, "got": 9, "rtt_ms": ["a", None, True], "others": {}, "asn": "x" * 99}]}]},
    {"names": {"system": [], "resolvers": [1], "delegation": []}, "tls": {"not_after": 1e99, "chain": []}, "size": {"status": [], "sizes": {"x": {}}}, "took_ms": "x", "cut": 4},
    {"connect": {"status": {}, "ms": [1e308, 1e308]}, "check": {"message": ["x"]}, "ping": {"sent": "many"}, "phases": 1},
])  # fmt: skip
def test_evidence_of_another_shape_is_left_out_and_breaks_nothing(broken):
    d = report_scene.diagnosis(changes=broken)
    d.evidence["usual"] = {
        key: {"path": 5, "hop_ms": {}, "phases": {"connect_ms": ["a"]}, "names": [], "paths": [1]}
        for key in d.evidence["usual"]
    }
    d.verdict = {
        "summary": "It fails",
        "for": 5,
        "regions": [],
        "confidence": "high",
        "hop": "x",
        "candidates": [7],
        "layer": 4,
    }
    d.save()
    assert read(d).status_code == 200


# --- Strangers' words --------------------------------------------------------------------------------------------------
def test_hostile_words_are_text_without_tricks_and_of_bounded_length():
    page = read(hostile())
    body = page.content.decode()
    assert (
        "<script>" not in body
        and "<img src=x" not in body
        and "<b>" not in body
        and "&lt;script&gt;window.broken=1&lt;/script&gt;" in body
    )
    assert (
        not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00-\x08\x0b\x0c\x0e-\x1f]", body) and "evil�gnp.exe" in body
    )
    assert "x" * 700 not in body and 'href="javascript' not in body
    assert len(body) < 600_000


@pytest.mark.parametrize(("given", "shown"), [
    ("plain", "plain"), ("a\x00b", "a�b"), ("a\n b", "a b"), ("\u2066x\u2069", "�x�"), (None, ""), (True, ""), ({"a": 1}, ""), (7, "7"), ("y" * 500, "y" * 119 + "…"),
])  # fmt: skip
def test_strangers_text_is_made_plain(given, shown):
    assert report_evidence.plain(given) == shown


# --- Who may read it ---------------------------------------------------------------------------------------------------
def test_the_link_is_private_and_sets_no_cookie():
    d = report_scene.diagnosis()
    for answer in (read(d), browser().get(path_of(d) + "raw.json"), browser(cast.mallory()).get(path_of(d))):
        assert answer.status_code == 200 and not answer.cookies
        assert (answer["Referrer-Policy"], answer["Cache-Control"]) == (
            "no-referrer",
            "private, no-store",
        ) and "noindex" in answer["X-Robots-Tag"]
        assert "Cookie" not in answer.get("Vary", ""), "it does not even look who is signed in"
    assert read(d).content == browser(cast.make_staff()).get(path_of(d)).content


def test_a_link_that_is_over_says_why_and_an_unknown_one_says_nothing():
    d = report_scene.diagnosis()
    at, path = database_now(), path_of(d)
    assert browser().get(path[:-3] + "xx/").status_code == 404 and browser().get("/r/x/").status_code == 404
    links.revoke(d, by=cast.TESTS, at=at)
    gone = browser().get(path)
    assert (
        gone.status_code == 410
        and "This link was revoked." in text(gone)
        and report_scene.SUMMARY not in text(gone)
        and gone["Referrer-Policy"] == "no-referrer"
    )
    assert browser().get(path + "raw.json").status_code == 410
    d = links.renew(d, by=cast.TESTS, at=at)
    assert browser().get(path).status_code == 404 and browser().get(path_of(d)).status_code == 200
    Diagnosis.objects.filter(pk=d.pk).update(link_expires_at=at - timedelta(seconds=1))
    assert browser().get(path_of(d)).status_code == 410 and "This link has expired." in text(browser().get(path_of(d)))


def test_nobody_writes_by_link():
    d = report_scene.diagnosis()
    assert (
        browser().post(path_of(d)).status_code == 405 and browser().delete(path_of(d) + "raw.json").status_code == 405
    )


@pytest.mark.parametrize("secret", ["anchor.msp.example", "inner.msp.example", "10.20.0.1"])
def test_the_names_of_our_own_network_are_for_staff_only(secret):
    d = report_scene.diagnosis()
    for path in (f"/diagnoses/{d.pk}/", f"/diagnoses/{d.pk}/raw.json"):
        assert secret not in browser(cast.viewer()).get(path).content.decode()
    for path in (path_of(d), path_of(d) + "raw.json"):
        assert secret not in browser().get(path).content.decode()
    assert secret in browser(cast.make_staff()).get(f"/diagnoses/{d.pk}/raw.json").content.decode()


def test_raw_data_is_an_attachment_without_the_monitors_secrets():
    m = services.save(
        Monitor(client=cast.acme(), name="api", kind="http", config={"url": "https://api.acme.example/", "headers": {"Authorization": "Bearer s3cr3t-t0ken"}}),
        by=cast.TESTS, at=database_now(), trusted=True,
    )  # fmt: skip
    m.secrets = {**(m.secrets.open() or {}), "headers": {"Authorization": "Bearer s3cr3t-t0ken"}}
    m.save()
    echo = {"http": {"status": "content", "said": "you sent Bearer s3cr3t-t0ken", "cookie": "sid=1"}}
    d = report_scene.diagnosis(m, changes=echo)
    answer = browser().get(path_of(d) + "raw.json")
    found = json.loads(answer.content)
    assert (
        answer["Content-Disposition"] == f'attachment; filename="diagnosis-{d.pk}.json"'
        and answer["X-Content-Type-Options"] == "nosniff"
    )
    assert (
        answer["Content-Type"] == "application/json"
        and found["verdict"]["summary"] == report_scene.SUMMARY
        and len(found["evidence"]["batteries"]) == 4
    )
    for body in (answer.content.decode(), read(d).content.decode()):
        assert "s3cr3t-t0ken" not in body and "sid=1" not in body


def test_it_costs_the_same_whatever_the_number_of_probes(django_assert_max_num_queries):
    d = report_scene.diagnosis()
    with django_assert_max_num_queries(6):
        read(d)


def tokens() -> dict[str, tuple[str, str]]:
    """{token: (light, dark)} of the house's sheet."""
    sheet = (settings.BASE_DIR / "portal/static/portal/app.css").read_text()
    return {
        name: (light, dark) for name, light, dark in re.findall(r"--([a-z0-9-]+): light-dark\((#\w+), (#\w+)\)", sheet)
    }


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("text_token", "ground"), [
    ("ink", "raised"), ("ink", "act-tint"),  # names of networks on their stripes
    ("down-ink", "surface"), ("down-ink", "raised"), ("down-ink", "act-tint"),  # suspected, lost
    ("degraded-ink", "surface"), ("info-ink", "surface"), ("ink-2", "surface"), ("ink", "down-tint"), ("ink-2", "down-tint"),  # the suspect's row
])  # fmt: skip
def test_every_text_of_the_pictures_can_be_read_in_both_themes(text_token, ground):
    known = tokens()
    for theme in (0, 1):
        one, other = sorted((luminance(known[text_token][theme]), luminance(known[ground][theme])))
        assert (other + 0.05) / (one + 0.05) >= 4.5, (text_token, ground, theme)


# --- Pure: paths and words ---------------------------------------------------------------------------------------------
def line_of(
    hops: list[dict], reached: bool = True, usual: dict | None = None, verdict: dict | None = None
) -> report_paths.Line:
    evidence = {"slug": "fra", "paths": [{"proto": "icmp", "status": "ok", "reached": reached, "hops": hops}]}
    (line,) = report_paths.lines(evidence, usual or {}, verdict or {}, "p", "Frankfurt")
    return line


def hop(ttl: int, got: int = 10, **more) -> dict:
    return {
        "ttl": ttl,
        "address": f"192.0.2.{ttl}" if got else None,
        "sent": 10,
        "got": got,
        "rtt_ms": [float(ttl)] * got,
        **more,
    }


@pytest.mark.parametrize(("gots", "carried"), [
    ((10, 10, 10), (0, 0, 0)),
    ((10, 2, 10), (0, 0, 0)),  # it answers rarely, later ones always: nothing is lost there
    ((10, 6, 6), (0, 0.4, 0.4)),
    ((10, 3, 6), (0, 0.4, 0.4)),  # both: only what lasts is loss
    ((10, 5, 0), (0, 0.5, 1.0)),  # beyond the last answer everything is
])  # fmt: skip
def test_what_is_lost_is_what_lasts_until_the_end(gots, carried):
    line = line_of([hop(n, got) for n, got in enumerate(gots, 1)], reached=gots[-1] > 0)
    assert [round(m.carried, 3) for m in line.marks] == [pytest.approx(c) for c in carried]


@pytest.mark.parametrize(("verdict", "suspected"), [
    ({"hop": 2, "hop_address": "192.0.2.3"}, 3),  # the same router at another distance from here
    ({"hop": 2, "hop_address": "203.0.113.1", "regions": {"confirming": ["fra"]}}, None),  # not on this way, and somebody else answers there
    ({"hop": 4, "hop_address": "203.0.113.1", "regions": {"confirming": ["fra"]}}, 4),  # silent here
    ({"hop": 4, "regions": {"confirming": ["ams"]}}, None),  # this probe does not confirm it
    ({"hop": None}, None),
])  # fmt: skip
def test_the_suspect_is_found_on_each_path(verdict, suspected):
    line = line_of([hop(1), hop(2), hop(3), hop(4, 0)], verdict=verdict)
    assert (line.suspected.ttl if line.suspected else None) == suspected


def test_one_of_several_usual_routers_is_not_a_new_route():
    usual = {"path": ["192.0.2.1", "192.0.2.9"], "paths": [["192.0.2.1", "192.0.2.2"]]}
    assert not line_of([hop(1), hop(2)], usual=usual).moved
    assert line_of([hop(1), hop(2)], usual={"path": ["192.0.2.1", "192.0.2.9"]}).moved


def test_networks_are_joined_over_silent_hops_only():
    marks = line_of([hop(1, asn=1), hop(2, 0), hop(3, asn=1), hop(4), hop(5, asn=1), hop(6, asn=2)]).marks
    assert [band[:3] for band in report_charts.bands(marks)] == [(1, 3, 1), (5, 5, 1), (6, 6, 2)]


def test_a_path_that_ends_early_says_where():
    line = line_of(
        [hop(1), hop(2), hop(3, 0), hop(4, 0)],
        reached=False,
        usual={"path": ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]},
    )
    picture = report_charts.path(line, report_charts.scale_of([line]))
    assert "nothing answers beyond hop 2" in picture and picture.count("leg-gone") == 2 and "no answer" in picture


@pytest.mark.parametrize(("systems", "words"), [
    (([1, 2, 9], [1, 3, 9]), "AS2 → AS3"), (([3356], [174]), "AS3356 → AS174"), (([1, 9], [1, 3, 9]), "now also through AS3"), (([1, 3, 9], [1, 9]), "no longer through AS3"),
    (([1], [1]), "within the same networks: 192.0.2.2 → 192.0.2.7 at hop 2"),
])  # fmt: skip
def test_a_route_that_moved_is_said_in_words(systems, words):
    assert report_paths.route_words(["192.0.2.1", "192.0.2.2"], ["192.0.2.1", "192.0.2.7"], *systems) == words


@pytest.mark.parametrize(("confidence", "layer", "word"), [
    (0.97, "dns", "certain"), (0.8, "dns", "probably"), (0.5, "dns", "likely"), (0.3, "dns", "not sure"), (0.9, "unknown", "not sure"), (None, "dns", "not sure"), ("high", "dns", "not sure"),
])  # fmt: skip
def test_how_sure_it_is_is_said_as_messages_say_it(confidence, layer, word):
    assert report_verdict.sure(confidence, layer) == word
