/* Turns the table of chapter 15 into a form: four choices, one recommendation. Without JavaScript the table stays as it
   is. The table is the only source: choices are its distinct values, the answer is the one row that matches. */
(function () {
  "use strict";

  const AXES = ["labels", "distance", "modality", "budget"];

  function element(name, options, children) {
    const made = Object.assign(document.createElement(name), options);
    made.append(...(children || []));
    return made;
  }

  function prepare(box) {
    if (box.dataset.ready) return;
    box.dataset.ready = "yes";
    const heads = Array.from(box.querySelectorAll("thead th"), (cell) => cell.textContent);
    const rows = Array.from(box.querySelectorAll("tbody tr"), (row) =>
      Array.from(row.children, (cell) => cell.textContent)
    );
    const answer = element("dl", {});
    // A list with a role of its own is no list of terms to a screen reader, so the role stands on a box around it.
    const spoken = element("div", { className: "tl-explorer-answer" }, [answer]);
    spoken.setAttribute("role", "status");
    const selects = AXES.map((axis, column) => {
      const values = Array.from(new Set(rows.map((row) => row[column])));
      return element("select", { name: axis, onchange: show }, values.map((value) => element("option", { textContent: value })));
    });
    selects[0].selectedIndex = 1;
    selects[1].selectedIndex = 2;
    selects[3].selectedIndex = 1;

    function show() {
      const row = rows.find((one) => selects.every((select, column) => one[column] === select.value));
      answer.replaceChildren();
      for (let column = AXES.length; row && column < row.length; column += 1) {
        answer.append(element("dt", { textContent: heads[column] }), element("dd", { textContent: row[column] }));
      }
    }

    const form = element(
      "form",
      { className: "tl-explorer-form", onsubmit: (event) => event.preventDefault() },
      selects.map((select, column) => element("label", {}, [element("span", { textContent: heads[column] }), select]))
    );
    form.setAttribute("aria-label", "Your case");
    box.before(form, spoken);
    show();
  }

  function start() {
    document.querySelectorAll(".tl-explorer").forEach(prepare);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
