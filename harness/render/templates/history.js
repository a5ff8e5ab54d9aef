"use strict";
// Draws the nights that stand in the page as JSON. Values are whole numbers in a line's unit; the ends
// of intervals and of baselines are differences from the value.
(() => {
  const data = JSON.parse(document.getElementById("history").textContent);
  const nights = data.nights.map(([run, created, verdict, links]) => ({ run, created, verdict, links }));
  const count = nights.length;
  const element = (id) => document.getElementById(id);
  const labels = new Map(data.methods);
  const metrics = new Map(data.metrics.map(([name, title, unit]) => [name, { title, unit }]));
  const HEIGHT = 230, POINTS_UP_TO = 150, MOST_ROWS = 200, FULL_LINES_UP_TO = 40;
  const KINDS = {
    regression: ["regression", "--regression"],
    open: ["regression, still open", "--regression"],
    improvement: ["improvement", "--better"],
    acknowledged: ["acknowledged", "--accepted"],
    machine: ["change that comes from the machine", "--machine"],
    small: ["change too small to matter", "--machine"],
  };
  const EVENTS = {
    kernel: "K", microcode: "M", system: "O", lock: "L", code: "C", settings: "S", task: "T",
  };
  const EVENT_NAMES = {
    kernel: "kernel", microcode: "microcode", system: "operating system", lock: "locked packages",
    code: "code or commit", settings: "settings of methods", task: "what must be alike",
  };

  const lines = data.lines.map((line) => {
    const at = (list, i) => (i < list.length ? list[i] : null);
    const full = { key: `${line.metric}/${line.method}`, ...line, value: [], lo: [], hi: [], from: [], to: [] };
    for (let i = 0; i < count; i++) {
      const value = at(line.values, i);
      const shifted = (list) => {
        const by = at(list, i);
        return value === null || by === null ? null : (value + by) * line.unit;
      };
      full.value.push(value === null ? null : value * line.unit);
      full.lo.push(shifted(line.low));
      full.hi.push(shifted(line.high));
      full.from.push(shifted(line.baseLow));
      full.to.push(shifted(line.baseHigh));
    }
    full.digits = Math.max(0, Math.round(-Math.log10(line.unit)) - 1);
    full.marks = new Map();
    return full;
  });
  for (const [at, method, metric, kind, text] of data.marks) {
    for (const line of lines) {
      const fits = (one, all) => one === "*" || one === all;
      if (!fits(method, line.method) || !fits(metric, line.metric)) continue;
      if (!line.marks.has(at)) line.marks.set(at, []);
      line.marks.get(at).push({ kind, text });
    }
  }
  const changes = new Map();
  for (const [at, kind, text] of data.changes) {
    if (!changes.has(at)) changes.set(at, []);
    changes.get(at).push({ kind, text });
  }

  // ---------------------------------------------------------------- what is shown
  const state = { metric: data.lines.length ? data.lines[0].metric : "", off: new Set(), log: false, from: 0, to: count - 1, at: null };
  let charts = [];

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let colors = {};
  function readColors() {
    const names = ["--ink", "--muted", "--line", "--page", "--blue", "--band", "--base", "--event", "--accent",
      "--regression", "--better", "--accepted", "--machine"];
    colors = Object.fromEntries(names.map((name) => [name, color(name)]));
  }

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const short = Date.parse(nights[count - 1]?.created) - Date.parse(nights[0]?.created) < 3 * 864e5;
  const dated = (i) => {
    const created = nights[i]?.created ?? "";
    return short ? created.slice(11, 16) : created.slice(0, 10);
  };
  const shown = (line, value) => (value === null ? "not measured" : `${value.toFixed(line.digits)} ${metrics.get(line.metric).unit}`);
  function said(line, i) {
    const parts = [`${nights[i].run}, ${nights[i].created.slice(0, 16).replace("T", " ")}: ${shown(line, line.value[i])}`];
    if (line.lo[i] !== null) parts[0] += ` [${line.lo[i].toFixed(line.digits)}, ${line.hi[i].toFixed(line.digits)}]`;
    for (const mark of line.marks.get(i) ?? []) parts.push(KINDS[mark.kind][0] + (mark.text ? ` (${mark.text})` : ""));
    for (const change of changes.get(i) ?? []) parts.push(`new: ${EVENT_NAMES[change.kind]}`);
    return parts.join("; ");
  }

  // ---------------------------------------------------------------- marks on a canvas
  function shape(context, kind, x, y, size) {
    context.beginPath();
    context.lineWidth = size / 4;
    context.fillStyle = context.strokeStyle = colors[KINDS[kind][1]];
    if (kind === "regression" || kind === "open") {
      context.moveTo(x, y - size); context.lineTo(x + size, y + 0.8 * size); context.lineTo(x - size, y + 0.8 * size);
    } else if (kind === "improvement") {
      context.moveTo(x, y + size); context.lineTo(x + size, y - 0.8 * size); context.lineTo(x - size, y - 0.8 * size);
    } else if (kind === "acknowledged") {
      context.rect(x - 1.3 * size, y - 1.3 * size, 2.6 * size, 2.6 * size);
    } else if (kind === "machine") {
      context.moveTo(x - size, y - size); context.lineTo(x + size, y + size);
      context.moveTo(x + size, y - size); context.lineTo(x - size, y + size);
    } else {
      context.arc(x, y, 0.8 * size, 0, 7);
    }
    if (kind === "regression" || kind === "open" || kind === "improvement") context.closePath();
    if (kind === "open") { context.fillStyle = colors["--page"]; context.fill(); context.stroke(); }
    else if (kind === "regression" || kind === "improvement") context.fill();
    else context.stroke();
  }

  // below the lines: baselines of each night, and what changed between nights
  function drawUnder(plot, line) {
    const { ctx: context, bbox } = plot, ratio = devicePixelRatio;
    const [from, to] = visible(plot);
    context.save();
    context.beginPath();
    context.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    context.clip();
    context.fillStyle = colors["--base"];
    for (let i = from; i <= to; i++) {
      if (line.from[i] === null) continue;
      const left = plot.valToPos(i - 0.5, "x", true), right = plot.valToPos(i + 0.5, "x", true);
      const top = plot.valToPos(line.to[i], "y", true), bottom = plot.valToPos(line.from[i], "y", true);
      context.fillRect(left, top, right - left, Math.max(bottom - top, ratio));
    }
    context.strokeStyle = context.fillStyle = colors["--event"];
    context.lineWidth = ratio;
    context.font = `600 ${11 * ratio}px system-ui, sans-serif`;
    context.textAlign = "left";
    context.textBaseline = "top";
    let free = -Infinity;
    const isDense = [...changes.keys()].filter((i) => i >= from && i <= to).length > FULL_LINES_UP_TO;
    for (let i = from; i <= to; i++) {
      const here = changes.get(i);
      if (!here) continue;
      const x = Math.round(plot.valToPos(i - 0.5, "x", true)) + 0.5;
      context.setLineDash([4 * ratio, 4 * ratio]);
      context.beginPath();
      context.moveTo(x, bbox.top);
      context.lineTo(x, bbox.top + (isDense ? 14 * ratio : bbox.height));
      context.stroke();
      const tag = here.map((change) => EVENTS[change.kind]).join("");
      if (x < free) continue;
      context.fillText(tag, x + 3 * ratio, bbox.top + 2 * ratio);
      free = x + context.measureText(tag).width + 8 * ratio;
    }
    context.restore();
  }
  function drawOver(plot, line) {
    const { ctx: context, bbox } = plot, ratio = devicePixelRatio;
    const [from, to] = visible(plot);
    const size = (to - from > 400 ? 3.2 : 4.6) * ratio;
    context.save();
    for (const [i, marks] of line.marks) {
      if (i < from || i > to) continue;
      const value = line.value[i];
      const x = plot.valToPos(i, "x", true);
      const y = value === null ? bbox.top + bbox.height - 2 * size : plot.valToPos(value, "y", true);
      for (const mark of marks) shape(context, mark.kind, x, y, size);
    }
    if (state.at !== null && state.at >= from && state.at <= to) {
      const x = Math.round(plot.valToPos(state.at, "x", true)) + 0.5;
      context.strokeStyle = colors["--accent"];
      context.lineWidth = 1.5 * ratio;
      context.beginPath();
      context.moveTo(x, bbox.top);
      context.lineTo(x, bbox.top + bbox.height);
      context.stroke();
    }
    context.restore();
  }
  const visible = (plot) => [
    clamp(Math.floor(plot.scales.x.min), 0, count - 1), clamp(Math.ceil(plot.scales.x.max), 0, count - 1),
  ];

  // ---------------------------------------------------------------- charts
  function extent(line) {
    let low = Infinity, high = -Infinity;
    for (let i = state.from; i <= state.to; i++) {
      for (const value of [line.value[i], line.lo[i], line.hi[i], line.from[i], line.to[i]]) {
        if (value === null) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    if (low === Infinity) return [0, 1];
    if (state.log && low > 0) {
      const by = Math.max((high / low) ** 0.08, 1.005);
      return [low / by, high * by];
    }
    const by = Math.max((high - low) * 0.09, Math.abs(high) * 0.002, 1e-9);
    return [low >= 0 ? Math.max(low - by, 0) : low - by, high + by];
  }
  function ticks(low, high, most) {
    const steps = [1, 2, 5, 10];
    if (state.log && low > 0 && high / low > 8) {
      const all = [];
      for (let decade = 10 ** Math.floor(Math.log10(low)); decade <= high; decade *= 10) {
        for (const step of [1, 2, 5]) if (decade * step >= low && decade * step <= high) all.push(decade * step);
      }
      return all;
    }
    const raw = (high - low) / Math.max(most, 1), decade = 10 ** Math.floor(Math.log10(raw));
    const step = decade * steps.find((one) => one * decade >= raw);
    const all = [];
    for (let i = Math.ceil(low / step); i * step <= high; i++) all.push(i * step);
    return all;
  }
  function decimals(values) {
    const least = values.reduce((gap, value, i) => (i ? Math.min(gap, value - values[i - 1]) : gap), Infinity);
    return least === Infinity ? 2 : clamp(Math.ceil(-Math.log10(least) - 1e-9), 0, 6);
  }

  function chart(line) {
    const figure = document.createElement("figure");
    figure.className = "trend";
    const title = document.createElement("h3");
    title.textContent = state.metric ? labels.get(line.method) : `${labels.get(line.method)}: ${metrics.get(line.metric).title}`;
    const caption = document.createElement("figcaption");
    const place = document.createElement("div");
    place.className = "plot";
    place.tabIndex = 0;
    place.setAttribute("role", "slider");
    place.setAttribute("aria-label", `${labels.get(line.method)}, ${metrics.get(line.metric).title}, by night`);
    place.setAttribute("aria-valuemin", "1");
    place.setAttribute("aria-valuemax", String(count));
    place.setAttribute("aria-orientation", "horizontal");
    place.setAttribute("aria-describedby", "help");
    figure.append(title, caption, place);
    element("figures").append(figure);
    const one = { line, caption, place, hover: null };
    const isLog = state.log && line.value.every((value) => value === null || value > 0)
      && line.lo.every((value) => value === null || value > 0);
    const axis = { stroke: colors["--muted"], grid: { stroke: colors["--line"], width: 1 }, ticks: { stroke: colors["--line"], width: 1 }, font: "12px system-ui, sans-serif" };
    one.plot = new uPlot({
      width: Math.max(place.clientWidth - 4, 120),
      height: HEIGHT,
      legend: { show: false },
      padding: [8, 12, 0, 0],
      scales: {
        x: { time: false, range: () => [state.from - 0.6, state.to + 0.6] },
        y: { distr: isLog ? 3 : 1, range: () => extent(line) },
      },
      axes: [
        {
          ...axis, space: 86,
          splits: (plot, _, low, high) => {
            const room = Math.max(Math.floor(plot.bbox.width / devicePixelRatio / 86), 1);
            const step = Math.max(Math.ceil((high - low) / room), 1), all = [];
            for (let i = Math.max(Math.ceil(low), 0); i <= Math.min(high, count - 1); i += step) all.push(i);
            return all;
          },
          values: (plot, all) => all.map(dated),
        },
        {
          ...axis, size: 62, label: `${metrics.get(line.metric).title}, ${metrics.get(line.metric).unit}`, labelSize: 18,
          labelFont: "12px system-ui, sans-serif",
          splits: (plot, _, low, high) => ticks(low, high, Math.floor(plot.bbox.height / devicePixelRatio / 42)),
          values: (plot, all) => { const digits = decimals(all); return all.map((value) => value.toFixed(digits)); },
          filter: (plot, all) => all,
        },
      ],
      series: [
        {},
        { stroke: colors["--blue"], width: 1.5, points: { show: () => state.to - state.from < POINTS_UP_TO, size: 4, fill: colors["--blue"] } },
        { stroke: "transparent", width: 0, points: { show: false } },
        { stroke: "transparent", width: 0, points: { show: false } },
      ],
      bands: [{ series: [3, 2], fill: colors["--band"] }],
      cursor: {
        sync: { key: "nights", setSeries: false, scales: ["x", null] }, y: false,
        drag: { x: true, y: false, setScale: false },
        points: { show: false },
        bind: { dblclick: () => () => { show(0, count - 1); } },
      },
      hooks: {
        drawAxes: [(plot) => drawUnder(plot, line)],
        draw: [(plot) => drawOver(plot, line)],
        setCursor: [(plot) => {
          const i = plot.cursor.idx;
          one.hover = plot.cursor.left >= 0 && i !== null && i !== undefined ? i : null;
          describe(one);
        }],
        setSelect: [(plot) => {
          if (plot.select.width < 6) return;
          const left = Math.round(plot.posToVal(plot.select.left, "x"));
          const right = Math.round(plot.posToVal(plot.select.left + plot.select.width, "x"));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          show(left, right);
        }],
      },
    }, [nights.map((_, i) => i), line.value, line.lo, line.hi], place);
    let pressed = 0;
    place.addEventListener("mousedown", (event) => { pressed = event.clientX; });
    place.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - pressed) < 4 && one.hover !== null) choose(one.hover);
    });
    place.addEventListener("keydown", onKey);
    place.addEventListener("focus", () => { if (state.at === null && place.matches(":focus-visible")) choose(state.to); });
    describe(one);
    return one;
  }
  function describe(one) {
    const i = one.hover ?? state.at;
    one.caption.textContent = i === null ? latest(one.line) : said(one.line, i);
    one.place.setAttribute("aria-valuenow", String((state.at ?? count - 1) + 1));
    one.place.setAttribute("aria-valuetext", count ? said(one.line, state.at ?? count - 1) : "no night");
  }
  function latest(line) {
    for (let i = state.to; i >= state.from; i--) if (line.value[i] !== null) return said(line, i);
    return "not measured in these nights";
  }

  function build() {
    for (const one of charts) one.plot.destroy();
    element("figures").replaceChildren();
    const chosen = chosenLines();
    element("figures").classList.toggle("one", chosen.length === 1);
    charts = chosen.map(chart);
    if (!chosen.length) element("figures").textContent = count ? "No method is chosen." : "No night yet.";
    fillTable();
    keepInAddress();
  }
  const chosenLines = () => lines.filter((line) => (!state.metric || line.metric === state.metric) && !state.off.has(line.method));
  function redraw() {
    for (const one of charts) {
      one.plot.setData(one.plot.data);
      describe(one);
    }
    fillTable();
    keepInAddress();
  }
  function show(from, to) {
    const least = Math.min(4, count - 1);
    from = clamp(Math.round(from), 0, count - 1);
    to = clamp(Math.round(to), 0, count - 1);
    if (to - from < least) {
      from = clamp(from, 0, count - 1 - least);
      to = from + least;
    }
    Object.assign(state, { from, to });
    redraw();
  }
  function zoom(by) {
    const width = state.to - state.from, middle = state.at ?? (state.from + state.to) / 2;
    const half = (width * by) / 2;
    show(middle - half, middle + half);
  }
  function move(share) {
    const width = state.to - state.from, by = Math.max(Math.round(width * Math.abs(share)), 1) * Math.sign(share);
    const from = clamp(state.from + by, 0, count - 1 - width);
    show(from, from + width);
  }

  // ---------------------------------------------------------------- the chosen night
  function choose(i) {
    state.at = clamp(i, 0, count - 1);
    if (state.at < state.from || state.at > state.to) {
      const width = state.to - state.from;
      const from = clamp(state.at - Math.round(width / 2), 0, count - 1 - width);
      Object.assign(state, { from, to: from + width });
      redraw();
    } else {
      for (const one of charts) {
        one.plot.redraw(false);
        describe(one);
      }
    }
    const night = nights[state.at], card = element("night");
    const text = (tag, content) => {
      const made = document.createElement(tag);
      made.textContent = content;
      return made;
    };
    const head = text("p", "");
    head.append(text("strong", night.run), ` ${night.created.slice(0, 16).replace("T", " ")} UTC: ${night.verdict || "not judged"} `);
    for (const [kind, address] of Object.entries(night.links)) {
      const link = text("a", kind);
      link.href = address;
      head.append(link, " ");
    }
    const list = document.createElement("ul");
    for (const line of lines) {
      for (const mark of line.marks.get(state.at) ?? []) {
        list.append(text("li", `${labels.get(line.method)}, ${metrics.get(line.metric).title}: ${KINDS[mark.kind][0]}${mark.text ? `: ${mark.text}` : ""}`));
      }
    }
    for (const change of changes.get(state.at) ?? []) {
      list.append(text("li", `${EVENT_NAMES[change.kind]}: ${change.text.join("; ")}`));
    }
    card.replaceChildren(head, ...(list.children.length ? [list] : []));
    card.hidden = false;
    keepInAddress();
  }
  function onKey(event) {
    const at = state.at ?? state.to;
    const keys = {
      ArrowLeft: () => choose(at - 1), ArrowRight: () => choose(at + 1),
      ArrowDown: () => choose(at - 1), ArrowUp: () => choose(at + 1),
      PageUp: () => choose(at - 10), PageDown: () => choose(at + 10),
      Home: () => choose(0), End: () => choose(count - 1),
      "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => show(0, count - 1),
      Enter: () => { const link = nights[at].links.verdict; if (link) location.href = link; },
    };
    if (!(event.key in keys) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (event.shiftKey && event.key.startsWith("Arrow")) move(event.key === "ArrowLeft" ? -0.25 : 0.25);
    else keys[event.key]();
  }

  // ---------------------------------------------------------------- the table
  function fillTable() {
    if (!element("values").open) return;
    const chosen = chosenLines();
    const cell = (tag, content, scope) => {
      const made = document.createElement(tag);
      made.textContent = content;
      if (scope) made.scope = scope;
      return made;
    };
    const head = document.createElement("tr");
    head.append(cell("th", "Night", "col"), cell("th", "Measured", "col"));
    for (const line of chosen) {
      const { title, unit } = metrics.get(line.metric);
      head.append(cell("th", `${labels.get(line.method)}: ${title}, ${unit}`, "col"));
    }
    element("values-head").replaceChildren(head);
    const first = Math.max(state.from, state.to - MOST_ROWS + 1), rows = [];
    for (let i = state.to; i >= first; i--) {
      const row = document.createElement("tr");
      row.append(cell("th", nights[i].run, "row"), cell("td", nights[i].created));
      for (const line of chosen) {
        const value = line.value[i] === null ? "–" : line.value[i].toFixed(line.digits);
        const ends = line.lo[i] === null ? "" : ` [${line.lo[i].toFixed(line.digits)}, ${line.hi[i].toFixed(line.digits)}]`;
        const marks = (line.marks.get(i) ?? []).map((mark) => KINDS[mark.kind][0]).join(", ");
        row.append(cell("td", value + ends + (marks ? ` ${marks}` : "")));
      }
      rows.push(row);
    }
    element("values-body").replaceChildren(...rows);
    const left = first - state.from;
    element("values-said").textContent = "The nights and methods that the charts show, the newest night first, with the 95 % interval of the night alone."
      + (left > 0 ? ` ${left} earlier nights are left out: zoom to them.` : "");
  }

  // ---------------------------------------------------------------- controls
  function keepInAddress() {
    const words = new URLSearchParams();
    words.set("metric", state.metric || "all");
    if (state.off.size) words.set("without", [...state.off].join(","));
    if (state.log) words.set("scale", "log");
    if (state.from > 0 || state.to < count - 1) words.set("nights", `${state.from + 1}-${state.to + 1}`);
    if (state.at !== null) words.set("night", nights[state.at].run);
    try { history.replaceState(null, "", `#${words}`); } catch { /* a browser may forbid it for files */ }
  }
  function readAddress() {
    const words = new URLSearchParams(location.hash.slice(1));
    const metric = words.get("metric");
    if (metric === "all") state.metric = "";
    else if (metrics.has(metric)) state.metric = metric;
    for (const method of (words.get("without") ?? "").split(",")) if (labels.has(method)) state.off.add(method);
    state.log = words.get("scale") === "log";
    const range = /^(\d+)-(\d+)$/.exec(words.get("nights") ?? "");
    if (range && range[1] >= 1 && Number(range[1]) < Number(range[2]) && range[2] <= count) {
      Object.assign(state, { from: range[1] - 1, to: range[2] - 1 });
    }
    const at = nights.findIndex((night) => night.run === words.get("night"));
    return at < 0 ? null : at;
  }
  function fillControls() {
    const select = element("metric");
    const measured = data.metrics.filter(([name]) => lines.some((line) => line.metric === name));
    select.append(...measured.map(([name, title]) => new Option(title, name)), new Option("All metrics", ""));
    select.value = state.metric;
    select.addEventListener("change", () => { state.metric = select.value; build(); });
    for (const [method, label] of data.methods) {
      const box = document.createElement("input"), around = document.createElement("label");
      box.type = "checkbox";
      box.value = method;
      box.checked = !state.off.has(method);
      box.addEventListener("change", () => { state.off[box.checked ? "delete" : "add"](method); build(); });
      around.append(box, label);
      element("methods").append(around);
    }
    const all = (isOn) => () => {
      state.off = new Set(isOn ? [] : labels.keys());
      for (const box of element("methods").querySelectorAll("input")) box.checked = isOn;
      build();
    };
    element("all-methods").addEventListener("click", all(true));
    element("no-methods").addEventListener("click", all(false));
    for (const radio of document.getElementsByName("scale")) {
      radio.checked = (radio.value === "log") === state.log;
      radio.addEventListener("change", () => { state.log = radio.value === "log" && radio.checked; build(); });
    }
    for (const button of document.querySelectorAll("[data-last]")) {
      const last = Number(button.dataset.last);
      button.addEventListener("click", () => show(last ? count - last : 0, count - 1));
    }
    element("closer").addEventListener("click", () => zoom(0.5));
    element("farther").addEventListener("click", () => zoom(2));
    element("earlier").addEventListener("click", () => move(-0.5));
    element("later").addEventListener("click", () => move(0.5));
    element("controls").addEventListener("submit", (event) => event.preventDefault());
    element("values").addEventListener("toggle", fillTable);
    element("controls").hidden = element("legend").hidden = false;
  }
  function fillLegend() {
    const item = (draw, words) => {
      const made = document.createElement("li"), canvas = document.createElement("canvas"), ratio = devicePixelRatio;
      canvas.width = canvas.height = 18 * ratio;
      canvas.style.width = canvas.style.height = "18px";
      canvas.setAttribute("aria-hidden", "true");
      draw(canvas.getContext("2d"), ratio);
      made.append(canvas, words);
      return made;
    };
    const box = (name) => (context, ratio) => { context.fillStyle = colors[name]; context.fillRect(0, 5 * ratio, 18 * ratio, 8 * ratio); };
    const used = new Set(data.marks.map((mark) => mark[3])), changed = new Set(data.changes.map((change) => change[1]));
    element("legend").replaceChildren(
      item(box("--band"), "95 % interval of the night"),
      item(box("--base"), "range of the good nights before"),
      ...Object.entries(KINDS).filter(([kind]) => used.has(kind)).map(([kind, [words]]) =>
        item((context, ratio) => shape(context, kind, 9 * ratio, 9 * ratio, 4.6 * ratio), words)),
      ...Object.entries(EVENTS).filter(([kind]) => changed.has(kind)).map(([kind, letter]) =>
        item((context, ratio) => {
          context.fillStyle = colors["--event"];
          context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
          context.fillText(letter, 4 * ratio, 14 * ratio);
        }, `new ${EVENT_NAMES[kind]}`)),
    );
  }

  readColors();
  const at = readAddress();
  fillControls();
  fillLegend();
  build();
  if (at !== null) choose(at);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColors(); fillLegend(); build(); });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    for (const one of charts) one.plot.setSize({ width: Math.max(one.place.clientWidth - 4, 120), height: HEIGHT });
  });
  document.documentElement.dataset.drawn = "true";
})();
