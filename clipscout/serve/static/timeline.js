// The caption tree over time: one row a level, opened segments filled. A row is a slider: arrow keys move from segment
// to segment, a click picks the one under the pointer. Positions are set as SVG attributes, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
const BAND = 30;
const MOST_BORDERS = 128;

export function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const rest = `${two(whole % 60)}`;
  return hours ? `${hours}:${two(Math.floor(whole / 60) % 60)}:${rest}` : `${Math.floor(whole / 60)}:${rest}`;
}

// A moment of a segment; to the tenth where segments last less than two seconds.
export function moment(seconds, length) {
  return length < 2 ? `${clock(seconds)}.${Math.floor(10 * seconds) % 10}` : clock(seconds);
}

export const span = (start, end) => `${moment(start, end - start)}–${moment(end, end - start)}`;

export const address = (path) => `[${path.join(", ")}]`;

export class Timeline {
  constructor(place, onPick) {
    this.place = place;
    this.onPick = onPick;
    this.rows = [];
    this.picked = null;
  }

  show(tree) {
    this.tree = tree;
    this.states = new Map();
    this.picked = null;
    this.rows = [];
    this.place.replaceChildren();
    for (let level = 1; level <= tree.depth; level += 1) this.place.append(this.row(level));
    const ends = document.createElement("p");
    ends.className = "ends";
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      const mark = document.createElement("span");
      mark.textContent = clock(tree.duration * part);
      ends.append(mark);
    }
    this.place.append(ends);
  }

  count(level) {
    return this.tree.width ** level;
  }

  pathAt(index, level) {
    const path = [];
    for (let rest = index, place = 0; place < level; place += 1) {
      path.unshift((rest % this.tree.width) + 1);
      rest = Math.floor(rest / this.tree.width);
    }
    return path;
  }

  indexOf(path) {
    return path.reduce((index, child) => index * this.tree.width + child - 1, 0);
  }

  span(path) {
    const count = this.count(path.length);
    const index = this.indexOf(path);
    return [(this.tree.duration * index) / count, (this.tree.duration * (index + 1)) / count];
  }

  row(level) {
    const holder = document.createElement("div");
    holder.className = "level";
    const label = document.createElement("span");
    label.textContent = level === this.tree.depth ? "leaf" : `level ${level}`;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${BAND}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "slider");
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("aria-label", label.textContent);
    svg.setAttribute("aria-valuemin", "1");
    svg.setAttribute("aria-valuemax", String(this.count(level)));
    const band = rect(0, WIDTH, "band");
    const cells = document.createElementNS(SVG, "g");
    const borders = document.createElementNS(SVG, "path");
    let drawn = level;
    while (this.tree.width ** drawn > MOST_BORDERS && drawn > 1) drawn -= 1;
    let lines = "";
    for (let cell = 1; cell < this.tree.width ** drawn; cell += 1) {
      lines += `M${((WIDTH * cell) / this.tree.width ** drawn).toFixed(2)} 0v${BAND}`;
    }
    borders.setAttribute("d", lines);
    borders.setAttribute("class", "border");
    svg.append(band, borders, cells);
    const row = { level, svg, cells, at: 0 };
    this.rows.push(row);
    this.announce(row);
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      const index = Math.floor(((event.clientX - box.left) / box.width) * this.count(level));
      this.pick(this.pathAt(Math.min(Math.max(index, 0), this.count(level) - 1), level));
    });
    svg.addEventListener("keydown", (event) => this.key(event, row));
    holder.append(label, svg);
    return holder;
  }

  key(event, row) {
    const last = this.count(row.level) - 1;
    const opened = [...this.states.keys()].map((key) => key.split("-").map(Number));
    const here = opened.filter((path) => path.length === row.level).map((path) => this.indexOf(path));
    const moves = {
      ArrowRight: row.at + 1, ArrowLeft: row.at - 1, Home: 0, End: last,
      PageDown: Math.min(...here.filter((index) => index > row.at), last),
      PageUp: Math.max(...here.filter((index) => index < row.at), 0),
    };
    if (event.key === "Enter" || event.key === " ") {
      this.pick(this.pathAt(row.at, row.level));
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const next = this.rows[row.level - 1 + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) next.svg.focus();
    } else if (event.key in moves) {
      row.at = Math.min(Math.max(moves[event.key], 0), last);
      this.announce(row);
      this.draw();
    } else {
      return;
    }
    event.preventDefault();
  }

  announce(row) {
    const path = this.pathAt(row.at, row.level);
    const [start, end] = this.span(path);
    const state = this.states.get(path.join("-"));
    row.svg.setAttribute("aria-valuenow", String(row.at + 1));
    row.svg.setAttribute(
      "aria-valuetext",
      `${address(path)} ${clock(start)} to ${clock(end)}, ${state === undefined ? "not opened" : state}`,
    );
  }

  pick(path) {
    const row = this.rows[path.length - 1];
    row.at = this.indexOf(path);
    this.picked = path;
    this.announce(row);
    this.draw();
    this.onPick(path);
  }

  mark(path, state) {
    if (path.length < 1 || path.length > this.tree.depth) return;
    const key = path.join("-");
    if (state === null) this.states.delete(key);
    else this.states.set(key, state);
    this.draw();
  }

  clear() {
    this.states.clear();
    this.draw();
  }

  draw() {
    for (const row of this.rows) {
      row.cells.replaceChildren();
      for (const [key, state] of this.states) {
        const path = key.split("-").map(Number);
        if (path.length === row.level) row.cells.append(this.cell(path, state));
      }
      if (this.picked !== null && this.picked.length === row.level) row.cells.append(this.cell(this.picked, "picked"));
      const cursor = this.cell(this.pathAt(row.at, row.level), "cursor");
      row.cells.append(cursor);
    }
  }

  cell(path, state) {
    const count = this.count(path.length);
    const width = Math.max(WIDTH / count, 3);
    const x = Math.min((WIDTH * this.indexOf(path)) / count, WIDTH - width);
    const drawn = rect(x, width, `cell ${state.replaceAll(" ", "-")}`);
    drawn.dataset.path = path.join("-");
    return drawn;
  }
}

function rect(x, width, name) {
  const drawn = document.createElementNS(SVG, "rect");
  drawn.setAttribute("x", x.toFixed(3));
  drawn.setAttribute("width", width.toFixed(3));
  drawn.setAttribute("height", String(BAND));
  drawn.setAttribute("class", name);
  return drawn;
}
