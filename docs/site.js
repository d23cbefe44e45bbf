// On a telephone `site.css` shows each row of a table as a block, without the table's headings. Where
// a row has more than two cells, each but the first is told its heading.
for (const table of document.querySelectorAll(".md-typeset table:not([class])")) {
  const headings = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
  if (headings.length < 3) continue;
  for (const row of table.querySelectorAll("tbody tr")) {
    [...row.cells].forEach((cell, at) => {
      if (at > 0 && headings[at]) cell.dataset.label = headings[at];
    });
  }
}
