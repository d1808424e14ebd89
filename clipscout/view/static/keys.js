// Keys of the viewer. They follow links that the page has; without this script the links do the same.
//
// Left and right: the trajectory before and after, or the page of a list. u: up to the list. /: the filter's text.
// In a list j and k go from row to row, and Enter opens the row's link.

const follow = (relation) => document.querySelector(`main a[rel="${relation}"]`)?.click();

function step(by) {
  const rows = [...document.querySelectorAll("main table.stack tbody th a")];
  const at = rows.indexOf(document.activeElement);
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
  next?.focus();
}

const KEYS = {
  ArrowLeft: () => follow("prev"),
  ArrowRight: () => follow("next"),
  u: () => follow("up"),
  j: () => step(1),
  k: () => step(-1),
  "/": () => document.querySelector('input[type="search"]')?.focus(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !(event.key in KEYS)) return;
  // A table or drawing that is wider than the page scrolls with the arrows.
  const scrolled = event.target.closest(".scroll");
  if (event.key.startsWith("Arrow") && scrolled && scrolled.scrollWidth > scrolled.clientWidth) return;
  event.preventDefault();
  KEYS[event.key]();
});
