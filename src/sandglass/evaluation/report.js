"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const missing = (value) => value === "";
      const rows = [...body.rows].sort((a, b) => {
        const x = key(a), y = key(b);
        if (missing(x) || missing(y)) return missing(x) - missing(y);
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
        return up ? order : -order;
      });
      body.append(...rows);
    });
  });
}
addEventListener("beforeprint", () => { for (const folded of document.querySelectorAll("details")) folded.open = true; });
const large = document.getElementById("large");
for (const button of document.querySelectorAll(".pictures button, .sheets button")) {
  button.addEventListener("click", () => {
    const small = button.querySelector("img");
    const image = large.querySelector("img");
    image.className = "";
    image.src = small.src;
    image.alt = small.alt;
    large.querySelector("p").textContent = small.alt;
    large.showModal();
  });
}
large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
large.querySelector("img").addEventListener("click", (event) => event.target.classList.toggle("whole"));
for (const button of document.querySelectorAll(".command button")) {
  if (!navigator.clipboard) { button.remove(); continue; }
  button.addEventListener("click", () => {
    const text = button.parentElement.querySelector("pre").textContent;
    navigator.clipboard.writeText(text).then(() => { button.textContent = "copied"; }, () => {});
  });
}
