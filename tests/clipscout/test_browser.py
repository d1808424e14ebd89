"""The pages in real Chromium: ask, stream, click, filter, compare; hostile texts; nothing leaves the machine."""

import asyncio
import json
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from clipscout.ask.policies import DescentPolicy
from clipscout.ask.settings import AskSettings, Server
from clipscout.web.pages import sanitize
from navigation import CaptionTree, TimeGrid, TreeStore, write_jsonl
from tests.clipscout.hostile import EVERY
from tests.clipscout.test_hostile_view import write_world
from tests.clipscout.world import house_questions, house_tree

pytestmark = pytest.mark.asyncio(loop_scope="session")
QUESTION = house_questions()[2]


@pytest.fixture
def house_page(asking, tmp_path):
    TreeStore(tmp_path / "trees").save(house_tree())
    return asking([tmp_path / "trees"], AskSettings()).url


async def fill(page, question):
    await page.fill("#question", question.question)
    await page.fill("#options", "\n".join(question.options))


async def test_ask_stream_and_click(page, house_page):
    await page.goto(house_page)
    await page.get_by_text("Ask a question, or click a segment").wait_for()
    assert await page.locator("#tree-title").text_content() == "house"
    await fill(page, QUESTION)
    await page.click("#ask")
    await page.locator("#answer-text", has_text="A. number6").wait_for()
    opened = await page.locator("#evidence li").count()
    assert opened == await page.locator("#timeline .cell.opened, #timeline .cell.asked-about").count() > 3
    assert await page.locator("#turns li").count() >= 3
    assert "27 visits" in await page.locator("#exhaustive").text_content()
    await page.locator("#evidence button").last.click()
    last = house_tree().captions
    title = await page.locator("#segment-title").text_content()
    path = tuple(json.loads(title.split("]")[0] + "]"))
    await page.locator("#segment-caption", has_text=last[path]).wait_for()
    assert await page.locator("#timeline .cell.picked").get_attribute("data-path") == "-".join(map(str, path))
    # The right end of the second level.
    row = page.get_by_role("slider", name="level 2")
    box = await row.bounding_box()
    await row.click(position={"x": box["width"] - 2, "y": box["height"] / 2})
    await page.locator("#segment-caption", has_text=last[(3, 3)]).wait_for()
    await expect(page.locator("#earlier-list li")).to_have_count(1)


async def test_videos_questions_and_answers_have_addresses(page, asking, tmp_path):
    for name in ("house", "barn"):
        TreeStore(tmp_path / "given/trees").save(house_tree(name))
    write_jsonl(tmp_path / "given/questions.jsonl", (question.to_dict() for question in house_questions()))
    server = asking([tmp_path / "given"], AskSettings())
    await page.goto(server.url)
    item = page.locator("#videos li", has_text="house")
    await item.wait_for()
    assert "tree · 4:30" in await item.text_content()
    await expect(page.locator("#videos li", has_text="barn").locator(".example")).to_have_count(0)
    assert "No model answers here." in await page.locator("#rule").text_content()
    await item.locator(".example").click()
    await page.get_by_text("Ask a question, or click a segment").wait_for()
    first = house_questions()[0]
    assert await page.input_value("#question") == first.question
    await expect(page.locator("#examples button")).to_have_count(5)
    await page.get_by_role("button", name=QUESTION.question).click()
    assert await page.input_value("#options") == "\n".join(QUESTION.options)
    await page.click("#ask")
    await page.locator("#answer-text", has_text="A. number6").wait_for()
    address = page.url
    assert "video=trees%2Fhouse" in address
    # A caption stands once: where it was opened.
    opened = await page.locator("#turns .reply").all_text_contents()
    assert len(opened) == len(set(opened))
    for text in opened[:-1]:
        assert text not in await page.locator("#evidence").text_content()
    await page.locator("#videos .name", has_text="barn").click()
    await page.locator("#tree-title", has_text="barn").wait_for()
    assert await page.locator("#answer").is_hidden()
    await page.go_back()
    await page.locator("#answer-text", has_text="A. number6").wait_for()
    await page.goto("about:blank")
    await page.goto(address)
    await page.locator("#answer-text", has_text="A. number6").wait_for()
    await expect(page.locator("#earlier-list li")).to_have_count(1)
    await expect(page.locator("#timeline .cell.asked-about")).to_have_count(1)
    # A server that was started again holds the question, not the answer.
    again = asking([tmp_path / "given"], AskSettings())
    await page.goto(address.replace(server.url, again.url))
    await page.get_by_text("does not hold that answer").wait_for()
    assert await page.input_value("#question") == QUESTION.question
    page.problems.clear()  # the browser's own word of the 404


async def test_it_is_said_when_the_model_does_not_answer(page, asking, tmp_path):
    TreeStore(tmp_path / "trees").save(house_tree())
    nobody = Server("http://127.0.0.1:9/v1", "absent", timeout=2.0)
    await page.goto(asking([tmp_path / "trees"], AskSettings(policy="endpoint", policy_server=nobody)).url)
    await page.get_by_text("Ask a question, or click a segment").wait_for()
    await expect(page.locator("#rule")).to_have_count(0)
    await fill(page, QUESTION)
    await page.click("#ask")
    await page.get_by_text("No model answers: the one that chooses what to open cannot be reached").wait_for()


async def test_on_a_phone_the_answer_comes_first(browser, house_page):
    context = await browser.new_context(viewport={"width": 400, "height": 800})
    made = await context.new_page()
    await made.goto(house_page)
    await made.get_by_text("Ask a question, or click a segment").wait_for()
    await fill(made, QUESTION)
    await made.click("#ask")
    await made.locator("#answer-text", has_text="A. number6").wait_for()
    tops = [(await made.locator(each).bounding_box())["y"] for each in ("#answer", "#timeline", "#episode", "#panel")]
    assert tops == sorted(tops)
    await context.close()


async def test_events_are_shown_while_the_episode_goes_on(page, asking, tmp_path):
    class Waiting(DescentPolicy):
        """Waits in its second turn until the page has shown the first."""

        async def reply(self, task, messages):
            if any(message["role"] == "tool" for message in messages):
                while not release.is_file():
                    await asyncio.sleep(0.005)
            return await super().reply(task, messages)

    release = tmp_path / "release"
    TreeStore(tmp_path / "trees").save(house_tree())
    await page.goto(asking([tmp_path / "trees"], AskSettings(), policy=Waiting()).url)
    await page.get_by_text("Ask a question, or click a segment").wait_for()
    await fill(page, QUESTION)
    await page.click("#ask")
    await page.get_by_text("Turn 2: thinking").wait_for()
    await expect(page.locator("#timeline .cell.opened")).to_have_count(3)
    assert await page.locator("#answer").is_hidden()
    await page.click("#stop")
    await page.get_by_text("Stopped.").wait_for()
    assert await page.locator("#ask").is_enabled()
    release.touch()
    await page.click("#ask")
    await page.locator("#answer-text", has_text="A. number6").wait_for()


async def test_all_of_it_by_keyboard(page, house_page):
    await page.goto(house_page)
    await page.get_by_text("Ask a question, or click a segment").wait_for()
    await page.keyboard.press("Tab")
    for name in ("Skip to the question", "ClipScout", "", "house", ""):
        assert (await page.evaluate("document.activeElement.textContent")) == name
        await page.keyboard.press("Tab")
    await page.keyboard.press("Shift+Tab")
    assert await page.evaluate("document.activeElement.id") == "question"
    await page.keyboard.type(QUESTION.question)
    await page.keyboard.press("Tab")
    await page.keyboard.type("\n".join(QUESTION.options))
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.locator("#answer-text", has_text="A. number6").wait_for()
    row = page.get_by_role("slider", name="level 1")
    await row.focus()
    await page.keyboard.press("ArrowRight")
    assert await row.get_attribute("aria-valuetext") == "[2] 1:30 to 3:00, not opened"
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("End")
    await page.keyboard.press("Enter")
    await page.locator("#segment-caption", has_text=house_tree().captions[(3, 3)]).wait_for()
    leaf = page.get_by_role("slider", name="leaf")
    await leaf.focus()
    await page.keyboard.press("PageDown")
    assert (await leaf.get_attribute("aria-valuetext")).endswith(("opened", "asked about"))


async def test_every_control_has_a_name(page, house_page, viewing, runs):
    for url in (house_page, viewing(runs).url):
        await page.goto(url)
        await page.wait_for_load_state("networkidle")
        for control in await page.locator("input, select, textarea, button, a, [role=slider]").all():
            if await control.is_visible() and await control.get_attribute("type") != "hidden":
                snapshot = await control.aria_snapshot()
                assert '"' in snapshot.splitlines()[0], snapshot
        await expect(page.locator("h1")).to_have_count(1)
        await expect(page.locator("main")).to_have_count(1)


async def test_filter_read_and_compare_trajectories(page, viewing, runs):
    url = viewing(runs).url
    await page.goto(url)
    assert await page.locator("h1").text_content() == "All runs"
    await expect(page.locator(".runs tbody tr")).to_have_count(3)
    assert await page.locator(".charts figure").count() >= 3
    await page.get_by_role("link", name="expert", exact=True).first.click()
    await page.locator("h1", has_text="house/eval/expert").wait_for()
    await expect(page.locator(".trajectory-list tbody tr")).to_have_count(6)
    await page.locator("select[name=run]").select_option("house/eval/random")
    await page.locator("select[name=correct]").select_option("none")
    await page.get_by_role("button", name="Show").click()
    await page.locator("h1", has_text="random").wait_for()
    await expect(page.locator(".trajectory-list tbody tr")).to_have_count(1)
    await page.locator(".trajectory-list tbody a").click()
    await page.locator(".episode").wait_for()
    await expect(page.locator("svg.tree .clue")).to_have_count(1)
    await expect(page.locator("svg.tree .wide .badge")).to_have_count(2)
    await expect(page.locator(".accounts tbody tr")).to_have_count(2)
    await page.get_by_role("link", name="beside house/eval/expert").click()
    await page.locator(".episodes .side").first.wait_for()
    await expect(page.locator(".episode-head b")).to_contain_text(["house/eval/random", "house/eval/expert"])
    await page.get_by_role("link", name="Compare two").click()
    await page.get_by_label("Right answers").select_option("left")
    await page.get_by_role("button", name="Show").click()
    pairs = zip(rows_of(runs, "expert"), rows_of(runs, "random"), strict=True)
    only_left = sum(one.correct and not other.correct for one, other in pairs)
    await expect(page.locator(".trajectory-list tbody tr")).to_have_count(only_left)
    await page.goto(f"{url}/list?run=house/grpo/rollouts&step=2")
    await expect(page.locator(".trajectory-list tbody tr")).to_have_count(4)


async def test_sorting_keys_and_segments(page, viewing, runs):
    url = viewing(runs).url
    await page.goto(f"{url}/list?run=house/eval/random")
    await page.get_by_role("link", name="Outcome").click()
    await page.locator("th[aria-sort=descending]").wait_for()
    await page.get_by_role("link", name="Outcome").click()
    await page.locator("th[aria-sort=ascending]").wait_for()
    await page.wait_for_load_state("domcontentloaded")  # a key is heard once the page's module has run
    order = sorted(rows_of(runs, "random"), key=lambda row: (row.correct, row.prediction is not None))
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.locator(f"text={order[0].question_id} ").first.wait_for()
    await page.wait_for_load_state("domcontentloaded")
    for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        await page.keyboard.press(key)
        await page.get_by_text(f"{place + 1} of 6").wait_for()
        await page.wait_for_load_state("domcontentloaded")
        assert order[place].question_id in await page.locator("main > .note").first.text_content()
    # Segments that were not opened are links as well, and what they show is linked on.
    await page.locator("svg.tree a.slot[href*='segment=3#']").click()
    await page.locator("#segment h2", has_text="[3]").wait_for()
    assert house_tree().captions[(3,)] in await page.locator("#segment").text_content()
    await page.locator("#segment .parts a").last.click()
    await page.locator("#segment h2", has_text="[3, 3]").wait_for()
    await page.locator("#segment").get_by_role("link", name="Before").click()
    await page.locator("#segment h2", has_text="[3, 2]").wait_for()
    await page.wait_for_load_state("domcontentloaded")
    await page.keyboard.press("u")
    await page.locator("h1", has_text="house/eval/random").wait_for()
    await expect(page.locator("th[aria-sort=ascending]")).to_have_count(1)


@pytest.mark.parametrize("width", [400, 1280])
async def test_nothing_is_wider_than_the_page(browser, house_page, viewing, runs, width):
    view = viewing(runs).url
    context = await browser.new_context(viewport={"width": width, "height": 900})
    made = await context.new_page()
    addresses = [
        "/", "/list?run=expert", "/trajectory?run=expert&id=house/1%230&segment=1-2", "/training?name=house/grpo",
        "/compare?left=expert&right=random", "/compare?left=expert&right=random&question=house/1",
    ]  # fmt: skip
    for url in (house_page, *(view + each for each in addresses)):
        await made.goto(url)
        assert await made.evaluate("document.documentElement.scrollWidth") <= width, url
        for table in await made.locator("table.stack").all():
            box = await table.bounding_box()
            assert box["x"] + box["width"] <= width, url
    await context.close()


def rows_of(runs, name):
    from clipscout.view.runs import find_sets

    (trajectories,) = find_sets(runs / "eval" / name)
    trajectories.offsets.refresh()
    return trajectories.rows


async def test_light_and_dark_differ(browser, house_page, viewing, runs):
    for url in (house_page, viewing(runs).url):
        colours = []
        for scheme in ("light", "dark"):
            context = await browser.new_context(color_scheme=scheme)
            made = await context.new_page()
            made.set_default_timeout(60_000)
            await made.goto(url)
            colours.append(await made.evaluate("getComputedStyle(document.body).backgroundColor"))
            await context.close()
        assert colours[0] != colours[1]


async def test_hostile_texts_do_nothing_on_the_ask_page(page, asking, tmp_path):
    """Every text as caption, line, file name, note, question and option; shown as text, run by nothing."""
    grid = TimeGrid(160.0, 9, 2)
    paths = list(grid.paths())
    captions = {path: EVERY[number % len(EVERY)] for number, path in enumerate(paths)}
    assert set(captions.values()) == set(EVERY)
    name = "<img src=x onerror=window.pwned=1>{{7*7}}"
    (tmp_path / f"{name}.json").write_text(
        json.dumps(CaptionTree("v", grid, captions, {"captioner": EVERY[0]}).to_dict()), encoding="utf-8"
    )

    class Everything(DescentPolicy):
        """Opens every segment, says every hostile text, and answers with one."""

        name = EVERY[0]

        async def reply(self, task, messages):
            from navigation import Reply, assistant_message

            turn = sum(message["role"] == "assistant" for message in messages)
            if turn < len(paths):
                text = EVERY[turn % len(EVERY)]
                calls = [("get_caption", {"segment": list(paths[turn])}), ("get_caption", {"segment": text})]
                if grid.is_leaf(paths[turn]):
                    calls.append(("video_qa", {"segment": list(paths[turn]), "query": text or "?"}))
                return Reply(assistant_message(text, text, calls))
            return Reply({"role": "assistant", "content": f"<answer>{''.join(EVERY[:20])}</answer>"})

    parts = AskSettings(turns=len(paths) + 1)
    await page.goto(asking([tmp_path], parts, policy=Everything()).url)
    await page.locator("#tree-title", has_text=name).wait_for()
    await page.fill("#question", "".join(EVERY[:30]).replace("\ud83d", ""))
    await page.fill("#options", "")
    await page.click("#ask")
    await page.locator("#answer:not([hidden])").wait_for()
    seen = await page.evaluate("document.body.textContent")
    for text in EVERY:
        # Captions and replies lose chat markup on their way into a transcript; what the policy said keeps it.
        assert sanitize(text) in seen or sanitize(text).strip() in seen, text
    assert sanitize(seen) == seen
    assert await page.evaluate("window.pwned === undefined")
    foreign = ("img", "iframe", "script", "style", "base", "meta")
    assert await page.locator(", ".join(f"main {each}" for each in foreign)).count() == 0
    links = await page.evaluate("[...document.querySelectorAll('main a')].map(each => each.getAttribute('href'))")
    assert all(each.startswith(("/?video=", "#question")) for each in links)
    attributes = "[...document.querySelectorAll('*')].flatMap(each => [...each.attributes].map(one => one.name))"
    assert [name for name in await page.evaluate(attributes) if name.startswith("on")] == []


async def test_hostile_texts_do_nothing_on_the_viewers_pages(page, viewing, tmp_path):
    url = viewing(write_world(tmp_path / "run", EVERY)).url
    scripted = f"/trajectory?run=one&id={quote(EVERY[0], safe='')}"
    for place in ("/", "/list?run=two&page=2", scripted, "/compare?left=one&right=two"):
        await page.goto(url + place)
        assert await page.evaluate("window.pwned === undefined")
        assert await page.locator("main script, main iframe, main img, main base, main meta").count() == 0
        assert page.url == url + place


async def test_an_exported_file_opens_without_a_server(page, runs, tmp_path):
    from clipscout.view.export import export
    from clipscout.view.filters import Filter
    from clipscout.view.runs import find_sets

    sets = [each for each in find_sets(runs) if "eval" in each.name]
    for each in sets:
        each.offsets.refresh()
    assert export(sets, Filter(), tmp_path / "trajectories.html") == 6
    content = (tmp_path / "trajectories.html").read_text(encoding="utf-8")
    await page.set_content(content)
    await expect(page.locator(".episode")).to_have_count(12)
    assert await page.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius") == "12px"
    assert "<script" not in content
