// The page: pick, ask, watch. Every text from the server is set as text, never as markup.

import { Timeline, address, clock, moment, span } from "/static/timeline.js";

const $ = (id) => document.getElementById(id);
const timeline = new Timeline($("timeline"), (path) => showSegment(path));
let tree = null;
let asking = null;
let asked = new Map();

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function get(url) {
  const reply = await fetch(url);
  const body = await reply.json();
  if (!reply.ok) throw new Error(body.error ? body.error.message : reply.statusText);
  return body;
}

function say(text, kind = "") {
  $("status").textContent = text;
  $("status").className = kind;
}

async function listVideos() {
  const found = await get(`/api/videos?text=${encodeURIComponent($("filter").value)}`);
  const before = $("videos").value;
  $("videos").replaceChildren(...found.videos.map((video) => {
    const option = element("option", video.kind === "video" ? video.name : `${video.name} (${video.kind})`);
    option.value = video.key;
    option.selected = video.key === before;
    return option;
  }));
  const shown = found.videos.length;
  $("found").textContent = shown === found.count ? `${found.count} found` : `${shown} of ${found.count} shown`;
}

async function openVideo(key) {
  if (asking) asking.abort();
  tree = null;
  say("Opening …");
  try {
    tree = await get(`/api/videos/${encodeURIComponent(key)}`);
  } catch (error) {
    say(error.message, "error");
    return;
  }
  $("tree-title").textContent = tree.name;
  $("shape").textContent = `${clock(tree.duration)}, ${tree.depth} levels of ${tree.width}`;
  $("notes").replaceChildren(...tree.notes.map((note) => element("li", note)));
  for (const id of ["answer", "segment", "episode"]) $(id).hidden = true;
  timeline.show(tree);
  asked = new Map();
  say("Ask a question, or click a segment to look at it.");
}

async function showSegment(path) {
  const at = tree;
  const base = `/api/videos/${encodeURIComponent(tree.key)}/segments/${path.join("-")}`;
  $("segment").hidden = false;
  const [start, end] = timeline.span(path);
  $("segment-title").textContent = `${address(path)} ${span(start, end)}`;
  $("segment-caption").textContent = "…";
  for (const id of ["segment-asked", "segment-frames"]) $(id).replaceChildren();
  $("segment-lines").hidden = true;
  let segment;
  try {
    segment = await get(base);
  } catch (error) {
    $("segment-caption").textContent = error.message;
    return;
  }
  if (at !== tree || timeline.picked.join("-") !== path.join("-")) return;
  $("segment-caption").textContent = segment.known ? segment.caption : "Not captioned yet: no episode has opened it.";
  for (const [query, reply] of asked.get(path.join("-")) || []) {
    $("segment-asked").append(element("p", `Asked: ${query}`, "call"), element("p", reply, "reply"));
  }
  segment.times.forEach((time, number) => {
    const figure = document.createElement("figure");
    const image = document.createElement("img");
    image.src = `${base}/frames/${number}.jpg`;
    image.alt = `Frame at ${moment(time, end - start)}`;
    figure.append(image, element("figcaption", moment(time, end - start)));
    $("segment-frames").append(figure);
  });
  if (segment.frames_error) $("segment-frames").append(element("p", segment.frames_error, "error"));
  const lines = segment.lines.map((line) => element("li", `${clock(line.start)} ${line.text}`));
  $("segment-lines").hidden = lines.length === 0;
  $("segment-lines").querySelector("ul").replaceChildren(...lines);
}

function segmentButton(path, text) {
  const button = element("button", text, "link");
  button.type = "button";
  button.addEventListener("click", () => {
    timeline.pick(path);
    $("segment").scrollIntoView({ block: "nearest" });
  });
  return button;
}

const on = {
  begin() {
    say("Reading the top level …");
  },
  overview() {
    say("The top level is read.");
  },
  thinking(event) {
    say(`Turn ${event.turn}: thinking …`);
  },
  turn(event) {
    const item = document.createElement("li");
    if (event.reasoning) item.append(element("p", event.reasoning, "reasoning"));
    if (event.content) item.append(element("p", event.content, "answer"));
    $("turns").append(item);
  },
  opening(event) {
    if (event.path) {
      timeline.mark(event.path, "being opened");
      say(`Opening ${address(event.path)} …`);
    }
  },
  opened(event) {
    const key = event.path.join("-");
    const isAsked = event.tool === "video_qa";
    if (isAsked) asked.set(key, [...(asked.get(key) || []), [event.query, event.reply]]);
    timeline.mark(event.path, isAsked || asked.has(key) ? "asked about" : "opened");
    const call = element("p", "", "call");
    call.append(segmentButton(event.path, `${isAsked ? "asked" : "opened"} ${address(event.path)} ${span(event.start, event.end)}`));
    if (isAsked) call.append(element("span", ` ${event.query}`));
    $("turns").lastElementChild.append(call, element("p", event.reply, "reply"));
  },
  refused(event) {
    if (event.path) timeline.mark(event.path, null);
    $("turns").lastElementChild.append(element("p", event.reply, "reply refused"));
  },
  answer(event) {
    const text = event.text || `No answer: ${event.status.replaceAll("_", " ")}${event.error ? ` (${event.error})` : ""}`;
    $("answer").hidden = false;
    $("answer-text").textContent = text;
    $("answer-text").className = event.text ? "" : "error";
    $("cost").textContent = costs(event.cost);
    const all = event.cost.exhaustive;
    const more = all.captions_to_make ? `, ${all.captions_to_make} captions still to be written` : "";
    $("exhaustive").textContent = `Reading every leaf: ${all.visits} visits, about ${all.prompt_tokens} tokens of captions${more}.`;
    $("evidence").replaceChildren(...event.evidence.map((each) => {
      const item = document.createElement("li");
      item.append(segmentButton(each.path, `${address(each.path)} ${span(each.start, each.end)}`));
      item.append(element("span", ` ${each.caption}`));
      return item;
    }));
    $("earlier").hidden = false;
    const earlier = document.createElement("li");
    earlier.append(element("b", event.question), element("span", text));
    $("earlier-list").prepend(earlier);
    say(event.text ? "Answered." : "The episode ended without an answer.");
  },
  error(event) {
    say(event.message, "error");
  },
};

function costs(cost) {
  const vision = cost.vision;
  const parts = [`${cost.visits} visits of ${cost.segments} segments`, `${cost.visit_units} visit units`];
  if (cost.prompt_tokens + cost.completion_tokens) parts.push(`${cost.prompt_tokens} + ${cost.completion_tokens} policy tokens`);
  if (vision.requests) parts.push(`${vision.requests} vision request${vision.requests === 1 ? "" : "s"} with ${vision.images || 0} frames`);
  if (cost.usd) parts.push(`${cost.usd.toFixed(4)} USD`);
  return `Cost: ${parts.join(", ")}, ${cost.seconds.toFixed(1)} s.`;
}

async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

async function askQuestion() {
  if (!tree) {
    say("Pick a video first.", "error");
    return;
  }
  asking = new AbortController();
  $("ask").disabled = true;
  $("stop").disabled = false;
  timeline.clear();
  asked = new Map();
  $("turns").replaceChildren();
  $("answer").hidden = true;
  $("episode").hidden = false;
  const options = $("options").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const body = JSON.stringify({ video: tree.key, question: $("question").value, options });
  try {
    const headers = { "Content-Type": "application/json" };
    const reply = await fetch("/api/ask", { method: "POST", headers, body, signal: asking.signal });
    if (!reply.ok) throw new Error((await reply.json()).error.message);
    for await (const event of events(reply)) on[event.type]?.(event);
  } catch (error) {
    if (error.name === "AbortError") say("Stopped. What was captioned is kept.");
    else say(error.message, "error");
  } finally {
    asking = null;
    $("ask").disabled = false;
    $("stop").disabled = true;
  }
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  askQuestion();
});
$("stop").addEventListener("click", () => asking?.abort());
$("videos").addEventListener("change", () => openVideo($("videos").value));
let waiting = 0;
$("filter").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => listVideos().catch((error) => say(error.message, "error")), 150);
});
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});
listVideos().then(() => {
  if ($("videos").options.length === 1) {
    $("videos").selectedIndex = 0;
    openVideo($("videos").value);
  }
}).catch((error) => say(error.message, "error"));
