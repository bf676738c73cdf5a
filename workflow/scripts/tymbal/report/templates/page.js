"use strict";
// Column heads become buttons that sort; what is undefined stays last. The page is complete without this script.
for (const table of document.querySelectorAll("table[data-sort]")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const key = (row, column, text) => {
    const told = row.cells[column]?.dataset.v ?? row.cells[column]?.textContent.trim() ?? "";
    if (text) return told === "" || told === "–" ? null : told;
    const number = parseFloat(told.replaceAll(",", "").replace("−", "-"));
    return Number.isNaN(number) ? null : number;
  };
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const text = head.classList.contains("text");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const down = now === null ? !text : now === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [key(row, column, text), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = text ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
        return down ? -order : order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}
// Boxes that scroll can be reached by keyboard.
const reachable = new ResizeObserver((boxes) => {
  for (const { target } of boxes) {
    if (target.scrollWidth > target.clientWidth) {
      target.tabIndex = 0;
      target.setAttribute("role", "region");
      target.setAttribute("aria-label", target.querySelector("caption")?.textContent.trim() ?? target.querySelector("img").alt);
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) target.removeAttribute(name);
    }
  }
});
document.querySelectorAll(".scroll").forEach((box) => reachable.observe(box));
// One sound at a time.
document.addEventListener("play", ({ target }) => {
  for (const sound of document.querySelectorAll("audio")) if (sound !== target) sound.pause();
}, true);
