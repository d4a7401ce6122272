(function () {
  "use strict";
  function byId(id) { return document.getElementById(id); }
  function make(tag, parent, text) {
    var element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.appendChild(element);
    return element;
  }

  // -- claims by verdict, commands to the clipboard

  var bar = byId("verdicts"), buttons = bar.querySelectorAll("button");
  buttons.forEach(function (button) {
    button.addEventListener("click", function () {
      buttons.forEach(function (b) { b.setAttribute("aria-pressed", String(b === button)); });
      document.querySelectorAll("tr[data-verdict]").forEach(function (row) {
        row.hidden = button.dataset.verdict !== "" && row.dataset.verdict !== button.dataset.verdict;
      });
    });
  });
  bar.hidden = !document.querySelector("tr[data-verdict]");

  document.querySelectorAll("button.copy").forEach(function (button) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(button.dataset.copy).then(
        function () { button.textContent = "copied"; }, function () { button.textContent = "not allowed: select it"; });
    });
  });

  // -- charts: one for each chosen run, on the same axes

  if (!byId("data")) return;
  var runs = JSON.parse(byId("data").textContent).runs, chosen = [0], place = 0, charts = [], hidden = Object.create(null), zoom = null, at = null, names = [];
  runs.forEach(function (run) { run.panels.forEach(function (panel, i) { names[i] = names[i] || panel.title; }); });

  function logarithm(base, value) { return base ? Math.log(value) / Math.log(base) : value; }
  function power(base, value) { return base ? Math.pow(base, value) : value; }
  function panelOf(run) { return runs[run].panels[place]; }

  // Colours that are dark on white become as light on black, as in the pictures.
  function colour(hex) {
    if (!window.ntkrunIsDark()) return hex;
    var rgb = [1, 3, 5].map(function (i) { return parseInt(hex.slice(i, i + 2), 16) / 255; });
    var high = Math.max.apply(null, rgb), low = Math.min.apply(null, rgb), shift = 1 - high - low;
    return "#" + rgb.map(function (v) {
      var lifted = 0.12 + 0.88 * Math.min(1, Math.max(0, v + shift));
      return ("0" + Math.round(255 * lifted).toString(16)).slice(-2);
    }).join("");
  }

  function format(value) {
    if (value === 0) return "0";
    var size = Math.abs(value);
    return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(+value.toPrecision(4));
  }

  function drawn() { return chosen.filter(function (run) { return !!panelOf(run); }); }  // not every run has every panel

  // The smallest and largest of what is shown in all charts, with a margin; on the axes' own scale.
  function range(axis) {
    var low = Infinity, high = -Infinity, base = panelOf(drawn()[0])[axis].log;
    drawn().forEach(function (run) {
      var panel = panelOf(run);
      panel.series.forEach(function (one) {
        if (hidden[one.name]) return;
        (axis === "x" ? panel.abscissae[one.at] : one.y).forEach(function (value) {
          if (base && value <= 0) return;
          low = Math.min(low, logarithm(base, value));
          high = Math.max(high, logarithm(base, value));
        });
      });
    });
    if (low > high) { low = 0; high = 1; }
    var margin = 0.04 * (high - low) || 0.5;
    return [power(base, low - margin), power(base, high + margin)];
  }

  function ticks(base) {
    return function (chart, axis, low, high) {
      var from = logarithm(base, low), to = logarithm(base, high), found = [], exponent, step;
      var room = Math.max(2, Math.floor((axis === 0 ? chart.bbox.width : chart.bbox.height) / devicePixelRatio / 45));
      step = Math.max(1, Math.ceil((to - from) / room));
      for (exponent = Math.ceil(from / step) * step; exponent <= to; exponent += step) found.push(Math.pow(base, exponent));
      if (found.length < 3) {  // less than two decades or octaves
        found = [];
        var factors = base === 10 ? [1, 2, 5] : [1, 1.25, 1.5, 1.75];
        for (exponent = Math.floor(from); exponent <= to; exponent++) factors.forEach(function (factor) {
          var value = factor * Math.pow(base, exponent);
          if (value >= low && value <= high) found.push(value);
        });
      }
      return found;
    };
  }

  var raised = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  function labels(base) {  // powers of the base as 10⁻³, all of an axis, once one of them would be too long in digits
    function exponentOf(value) {
      var exponent = base && value !== null ? Math.round(logarithm(base, value)) : NaN;
      return Math.abs(Math.pow(base, exponent) / value - 1) < 1e-9 ? exponent : NaN;
    }
    return function (chart, values) {
      var exponents = values.map(exponentOf);
      var asPowers = exponents.some(function (exponent) { return exponent > (base === 2 ? 10 : 3) || exponent < (base === 2 ? -3 : -2); });
      return values.map(function (value, i) {
        if (value === null) return "";
        if (!asPowers || isNaN(exponents[i])) return format(value);
        return base + (exponents[i] < 0 ? "⁻" : "") + String(Math.abs(exponents[i])).replace(/\d/g, function (d) { return raised[d]; });
      });
    };
  }

  function draw() {
    charts.forEach(function (chart) { chart.destroy(); });
    byId("charts").textContent = "";
    var boxes = drawn().map(function () { return make("div", byId("charts")); });  // all of them first: each takes its share of the width
    charts = drawn().map(function (run, i) { return chartOf(run, boxes[i]); });
    readings();
    if (!charts.length) make("p", byId("charts"), "The chosen runs have no such panel.");
    else if (at !== null) point(at);
  }

  function chartOf(run, box) {
    var panel = panelOf(run), style = getComputedStyle(document.documentElement);
    box.className = "chart";
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Chart of " + panel.title + ", " + runs[run].name + "; arrow keys move along it");
    if (runs.length > 1) make("h3", box, runs[run].name);
    var line = style.getPropertyValue("--line"), ink = style.getPropertyValue("--ink");
    // No chart has two points of a curve at one abscissa: what lies above another point is put beside it, invisibly near.
    var tables = panel.series.map(function (one) {
      var before = -Infinity;
      var xs = panel.abscissae[one.at].map(function (x) {
        before = x > before ? x : before + (Math.abs(before) || 1) * 1e-12;
        return before;
      });
      return [xs, one.y];
    });
    var data = tables.length ? uPlot.join(tables) : [[]];
    function axis(name, side) {
      var base = panel[name].log;
      return Object.assign({
        label: panel[name].label || undefined, stroke: ink, labelSize: 22, labelGap: 0, font: "12px system-ui, sans-serif",
        labelFont: "13px system-ui, sans-serif", grid: {stroke: line, width: 1}, ticks: {stroke: line}, values: labels(base),
      }, side, base ? {splits: ticks(base), filter: function (chart, values) { return values; }} : {});
    }
    function scale(name) {
      var base = panel[name].log;
      return Object.assign({time: false, auto: false, range: function () { return limits(name); }},
                           base ? {distr: 3, log: base === 2 ? 2 : 10} : {});
    }
    var chart = new uPlot({
      width: box.clientWidth, height: heightOf(box),
      legend: {show: false},
      scales: {x: scale("x"), y: scale("y")},
      axes: [axis("x", {size: 40}), axis("y", {size: 62})],
      cursor: {y: false, drag: {x: true, y: true, uni: 12, setScale: false}, points: {show: false}, bind: {dblclick: function () { return whole; }}},
      hooks: {
        setCursor: [function (chart) { if (chart.cursor.left >= 0 && chart.cursor.event) point(chart.posToVal(chart.cursor.left, "x"), chart); }],
        setSelect: [function (chart) { enlarge(chart); }],
      },
      series: [{}].concat(panel.series.map(function (one) {
        var ink = colour(one.colour), dots = one.line === "none";
        return {
          label: one.name, show: !hidden[one.name], stroke: one.paper ? ink + "90" : ink, width: dots ? 0 : 1.8,
          dash: one.line === "dashed" ? [7, 4] : undefined, spanGaps: true,
          paths: dots ? function () { return null; } : undefined,
          points: {show: dots || one.y.length === 1, size: one.paper ? 5 : 4, fill: one.paper ? ink + "90" : ink, width: 0},
        };
      })),
    }, data, box);
    box.addEventListener("keydown", function (event) {
      var step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      if (event.key === "Escape") whole();
      if (!step) return;
      event.preventDefault();
      var now = at === null ? chart.over.clientWidth / 2 : chart.valToPos(at, "x");
      point(chart.posToVal(Math.min(chart.over.clientWidth, Math.max(0, now + step * chart.over.clientWidth / 100)), "x"));
    });
    chart.over.addEventListener("touchmove", function (event) {
      var place = event.touches[0].clientX - chart.over.getBoundingClientRect().left;
      point(chart.posToVal(Math.min(chart.over.clientWidth, Math.max(0, place)), "x"));
    }, {passive: true});
    return chart;
  }

  function heightOf(box) { return Math.round(Math.min(420, Math.max(240, 0.62 * box.clientWidth))); }

  function limits(name) { return (zoom && zoom[name]) || range(name); }
  function redraw() {
    if (!charts.length) return;
    ["x", "y"].forEach(function (name) {
      var to = limits(name);
      charts.forEach(function (chart) { chart.setScale(name, {min: to[0], max: to[1]}); });
    });
  }
  function whole() { zoom = null; redraw(); }
  function enlarge(chart) {
    var s = chart.select;
    if (s.width < 4 && s.height < 4) return;
    var x = s.width >= 4 ? [chart.posToVal(s.left, "x"), chart.posToVal(s.left + s.width, "x")] : null;
    var y = s.height >= 4 ? [chart.posToVal(s.top + s.height, "y"), chart.posToVal(s.top, "y")] : null;
    chart.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
    zoom = {x: x || (zoom && zoom.x), y: y || (zoom && zoom.y)};
    redraw();
  }

  // -- reading

  // The y of a curve at x on the straight line of the axes between two points; of points that no line joins only near one.
  function valueAt(panel, one, x) {
    var xs = panel.abscissae[one.at], n = xs.length, low = 0, high = n - 1, middle;
    if (!n || x < xs[0] * (1 - 1e-9) - 1e-12 || x > xs[n - 1] * (1 + 1e-9) + 1e-12) return null;
    while (high - low > 1) { middle = (low + high) >> 1; if (xs[middle] <= x) low = middle; else high = middle; }
    var bx = panel.x.log, by = panel.y.log, a = logarithm(bx, xs[low]), b = logarithm(bx, xs[high]), t = logarithm(bx, x);
    if (one.line === "none" && !one.paper) {
      var near = Math.abs(t - a) <= Math.abs(b - t) ? low : high, span = range("x").map(function (v) { return logarithm(bx, v); });
      return Math.abs(logarithm(bx, xs[near]) - t) < 0.02 * (span[1] - span[0]) ? one.y[near] : null;
    }
    if (b <= a) return one.y[low];
    var share = Math.min(1, Math.max(0, (t - a) / (b - a)));
    return power(by, (1 - share) * logarithm(by, one.y[low]) + share * logarithm(by, one.y[high]));
  }

  var cells = [];
  function readings() {
    var head = byId("reading-head"), body = byId("reading"), found = Object.create(null);
    head.textContent = body.textContent = "";
    cells = [];
    var row = make("tr", head), shown = drawn();
    make("th", row, "").id = "reading-x";
    shown.forEach(function (run) { make("th", row, runs.length > 1 ? runs[run].name : "value").className = "number"; });
    shown.forEach(function (run) { panelOf(run).series.forEach(function (one) { (found[one.name] = found[one.name] || []).push(one); }); });
    Object.keys(found).forEach(function (name) {
      var one = found[name][0], row = make("tr", body), button = make("button", make("td", row)), mark = make("span", button);
      button.type = "button";
      mark.className = "mark";
      mark.style.background = one.line === "none" ? "radial-gradient(circle at 50% 50%, " + colour(one.colour) + " 25%, transparent 30%)"
        : one.line === "dashed" ? "repeating-linear-gradient(90deg, " + colour(one.colour) + " 0 6px, transparent 6px 10px) 0 50% / 100% 2px no-repeat"
        : "linear-gradient(" + colour(one.colour) + " 0 0) 0 50% / 100% 2px no-repeat";
      make("span", button, name);
      if (one.note) { make("span", button, " (" + one.note + ")").className = "quiet"; }
      button.setAttribute("aria-pressed", String(!hidden[name]));
      button.addEventListener("click", function () { hidden[name] = !hidden[name]; show(); });
      shown.forEach(function (run) {
        var cell = make("td", row, ""), of = panelOf(run).series.filter(function (s) { return s.name === name; });
        cell.className = "number";
        cells.push({cell: cell, panel: panelOf(run), series: of});
      });
    });
    byId("left-out").textContent = shown.map(function (run) {
      var told = panelOf(run).left_out;
      return Object.keys(told).map(function (name) { return " Of \u201c" + name + "\u201d " + told[name] + " are here."; }).join("");
    }).filter(function (text, i, all) { return all.indexOf(text) === i; }).join("");
  }

  function point(x, by) {
    at = x;
    byId("reading-x").textContent = (panelOf(drawn()[0]).x.label || "x") + " = " + format(x);
    cells.forEach(function (one) {
      var values = one.series.map(function (series) { return valueAt(one.panel, series, x); }).filter(function (v) { return v !== null; });
      one.cell.textContent = values.length ? values.slice(0, 12).map(format).join(", ") : "–";
    });
    charts.forEach(function (chart) {
      if (chart !== by) chart.setCursor({left: chart.valToPos(x, "x"), top: chart.cursor.top >= 0 ? chart.cursor.top : 0}, false);
    });
  }

  function show() {
    charts.forEach(function (chart) {
      chart.series.forEach(function (series, i) { if (i) chart.setSeries(i, {show: !hidden[series.label]}); });
    });
    byId("reading").querySelectorAll("button").forEach(function (button) {
      button.setAttribute("aria-pressed", String(!hidden[button.children[1].textContent]));
    });
    redraw();
  }

  // -- what is chosen

  names.forEach(function (name, i) { make("option", byId("panel"), (i + 1) + ": " + name).value = i; });
  byId("panel").addEventListener("change", function () {
    place = +byId("panel").value;
    hidden = Object.create(null); zoom = null; at = null;
    draw();
  });
  if (runs.length > 1) runs.forEach(function (run, i) {
    var label = make("label", byId("runs")), box = make("input", label);
    box.type = "checkbox";
    box.checked = i === 0;
    label.appendChild(document.createTextNode(" " + run.name));
    box.addEventListener("change", function () {
      var wanted = runs.map(function (_, j) { return j; }).filter(function (j) { return byId("runs").querySelectorAll("input")[j].checked; });
      if (!wanted.length) { box.checked = true; wanted = [i]; }
      chosen = wanted;
      draw();
    });
  });
  document.querySelectorAll("button[data-show]").forEach(function (button) {
    button.addEventListener("click", function () {
      drawn().forEach(function (run) { panelOf(run).series.forEach(function (one) {
        hidden[one.name] = button.dataset.show === "none" || (button.dataset.show === "ours" && one.paper);
      }); });
      show();
    });
  });
  byId("whole").addEventListener("click", whole);
  document.addEventListener("theme", draw);
  byId("reader").hidden = false;
  new ResizeObserver(function () {
    charts.forEach(function (chart) {
      var box = chart.root.parentNode;
      if (box.clientWidth !== chart.width) chart.setSize({width: box.clientWidth, height: heightOf(box)});
    });
  }).observe(byId("charts"));
  draw();
})();
