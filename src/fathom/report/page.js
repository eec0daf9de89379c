"use strict";

const touch = matchMedia("(pointer: coarse)").matches;
const options = {
  responsive: true,
  displaylogo: false,
  displayModeBar: touch ? false : "hover",
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  showSendToCloud: false, // Plotly would offer to upload the figure, and with it the class names
  plotlyServerURL: "",
};
const plots = [...document.querySelectorAll(".plot")];

for (const plot of plots) {
  const { data, layout } = JSON.parse(plot.nextElementSibling.textContent);
  if (touch) layout.dragmode = false; // a finger scrolls the page, not the chart
  Plotly.newPlot(plot, data, layout, options);
  const { opens } = plot.dataset;
  if (opens) plot.on("plotly_click", ({ points }) => location.assign(`${opens}/${points[0].customdata}.html`));
}

// What a filter of the page had hidden was drawn without a size.
addEventListener("hashchange", () => {
  for (const plot of plots) if (plot.offsetWidth) Plotly.Plots.resize(plot);
});

const value = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort);
};
const order = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));

function sort(heading) {
  const table = heading.closest("table"), column = heading.cellIndex, body = table.tBodies[0];
  const rising = heading.ariaSort !== "ascending";
  const rows = [...body.rows].sort((a, b) => order(value(a, column), value(b, column)));
  for (const other of heading.parentNode.cells) other.ariaSort = null;
  heading.ariaSort = rising ? "ascending" : "descending";
  body.append(...(rising ? rows : rows.reverse()));
}

for (const heading of document.querySelectorAll("table.sortable thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...heading.childNodes);
  button.addEventListener("click", () => sort(heading));
  heading.append(button);
}

// On paper everything is unfolded, and charts are as wide as the sheet before it is laid out.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const part of folded) part.open = true;
  document.body.classList.add("paper");
  for (const plot of plots) Plotly.relayout(plot, { width: plot.clientWidth });
});
addEventListener("afterprint", () => {
  for (const part of folded) part.open = false;
  document.body.classList.remove("paper");
  for (const plot of plots) Plotly.relayout(plot, { width: null, autosize: true });
});
