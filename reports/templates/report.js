"use strict";
// The page's language, and the table of every case. Nothing is loaded: the cases are in the page, compressed.
(() => {
  const root = document.documentElement;
  const buttons = [...document.querySelectorAll(".languages button")];
  const known = buttons.map((button) => button.lang);

  const remembered = () => { try { return localStorage.getItem("assay-language"); } catch { return null; } };
  const remember = (tag) => { try { localStorage.setItem("assay-language", tag); } catch { /* a browser that keeps nothing */ } };
  const closest = (tag) => known.find((name) => name === tag || name.split("-")[0] === (tag || "").split("-")[0]);

  const speak = (tag) => {
    root.lang = tag;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.lang === tag));
  };
  const asked = () => closest(location.hash.startsWith("#lang=") ? location.hash.slice(6) : "");
  speak(asked() || closest(remembered()) || closest(navigator.language) || known[0]);
  for (const button of buttons) button.addEventListener("click", () => { speak(button.lang); remember(button.lang); });
  addEventListener("hashchange", () => { if (asked()) { speak(asked()); remember(asked()); } });
  document.querySelector(".languages").hidden = false;

  // a link into a folded part opens it, and so does paper
  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();

  const ROWS = 100;
  const COLUMNS = [
    ["case", "case"], ["area", "area"], ["dtype", "dtype"], ["outcome", "outcome"], ["check", "closest finding"],
    ["used", "share of its bound", "n"], ["measured", "measured", "n"], ["bound", "bound", "n"], ["cause", "likely cause"],
  ];

  const unpack = async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  };

  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  class Cases {
    constructor(box, columns, number) {
      this.box = box; this.columns = columns; this.number = number;
      columns.case.text = columns.case.text.split("\n");
      this.count = Number(box.dataset.count);
      this.form = box.querySelector("form"); this.body = box.querySelector("tbody"); this.found = box.querySelector(".found");
      this.pages = box.querySelector(".pages");
      this.sorted = { by: "", down: false }; this.page = 0; this.open = new Set();
      this.order = Uint32Array.from({ length: this.count }, (_, row) => row);
      this.heads(); this.choices(); this.listen(); this.select();
      box.querySelector(".unless-script").remove();
      for (const part of [this.form, box.querySelector(".scroll"), this.pages]) part.hidden = false;
    }

    value(name, row) {
      const column = this.columns[name];
      return column.text ? column.text[row] : column.numbers ? column.numbers[row] : column.words[column.at[row]];
    }

    heads() {
      const line = this.box.querySelector("thead tr");
      for (const [name, title, kind] of COLUMNS) {
        const head = make("th", undefined, { scope: "col", "aria-sort": "none", "data-column": name, ...(kind && { class: kind }) });
        const button = make("button", title, { type: "button" });
        button.addEventListener("click", () => this.sort(name));
        head.append(button); line.append(head);
      }
    }

    choices() {
      for (const name of ["area", "outcome", "dtype", "checks"]) {
        const words = new Set(this.columns[name].words.flatMap((word) => (name === "checks" ? word.split(" ") : [word])));
        const list = this.form.elements[name];
        list.append(make("option", "any", { value: "" }));
        for (const word of [...words].filter(Boolean).sort()) list.append(make("option", word, { value: word }));
      }
    }

    listen() {
      this.form.addEventListener("input", () => { this.page = 0; this.select(); });
      this.form.addEventListener("submit", (event) => event.preventDefault());
      this.form.addEventListener("reset", () => setTimeout(() => { this.page = 0; this.select(); }));
      this.pages.elements = Object.fromEntries([...this.pages.querySelectorAll("button")].map((button) => [button.name, button]));
      this.pages.elements.before.addEventListener("click", () => this.turn(-1));
      this.pages.elements.after.addEventListener("click", () => this.turn(1));
    }

    turn(by) { this.page += by; this.show(); this.box.querySelector(".scroll").scrollIntoView({ block: "nearest" }); }

    sort(name) {
      const first = this.columns[name].numbers ? true : false; // the largest figure first, words from A on
      this.sorted = { by: name, down: this.sorted.by === name ? !this.sorted.down : first };
      for (const head of this.box.querySelectorAll("thead th")) {
        const here = head.dataset.column === name;
        head.setAttribute("aria-sort", here ? (this.sorted.down ? "descending" : "ascending") : "none");
      }
      const turn = this.sorted.down ? -1 : 1;
      const column = this.columns[name];
      const keys = column.numbers || this.ranks(column);
      // rows without a figure are last in both directions; equals stay in the order of the page
      this.order = Uint32Array.from({ length: this.count }, (_, row) => row).sort((a, b) => {
        const [x, y] = [keys[a], keys[b]];
        if (x === null || y === null) return (x === null) - (y === null) || a - b;
        return turn * (x - y) || a - b;
      });
      this.page = 0; this.select();
    }

    ranks(column) {
      const words = column.text || column.words;
      const rank = new Uint32Array(words.length);
      [...words.keys()].sort((a, b) => (words[a] < words[b] ? -1 : words[a] > words[b] ? 1 : 0)).forEach((at, n) => { rank[at] = n; });
      return column.text ? rank : column.at.map((at) => rank[at]);
    }

    select() {
      const wanted = Object.fromEntries(["text", "area", "outcome", "dtype", "checks"].map((name) => [name, this.form.elements[name].value]));
      const text = wanted.text.trim().toLowerCase();
      const allowed = ["area", "outcome", "dtype", "checks"].filter((name) => wanted[name]).map((name) => [
        this.columns[name].at,
        this.columns[name].words.map((word) => (name === "checks" ? word.split(" ").includes(wanted[name]) : word === wanted[name])),
      ]);
      const { case: cases, message, cause } = this.columns;
      const told = [message, cause].map((column) => [column.at, column.words.map((word) => word.toLowerCase().includes(text))]);
      this.rows = this.order.filter((row) => allowed.every(([at, may]) => may[at[row]])
        && (!text || cases.text[row].toLowerCase().includes(text) || told.some(([at, has]) => has[at[row]])));
      this.show();
    }

    show() {
      const last = Math.max(0, Math.ceil(this.rows.length / ROWS) - 1);
      this.page = Math.min(Math.max(this.page, 0), last);
      const shown = this.rows.slice(this.page * ROWS, (this.page + 1) * ROWS);
      this.found.textContent = `${this.rows.length.toLocaleString("en")} of ${this.count.toLocaleString("en")} cases`;
      this.body.replaceChildren(...[...shown].flatMap((row) => this.line(row)));
      this.pages.querySelector("span").textContent = `Page ${this.page + 1} of ${last + 1}`;
      this.pages.elements.before.disabled = this.page === 0;
      this.pages.elements.after.disabled = this.page === last;
    }

    line(row) {
      const line = make("tr");
      const details = `c${this.number}-${row}`;
      for (const [name, , kind] of COLUMNS) line.append(this.cell(name, kind, row, details));
      if (!this.open.has(row)) return [line];
      const under = make("tr", undefined, { class: "under", id: details });
      const cell = make("td", undefined, { colspan: COLUMNS.length });
      cell.append(...this.told(row)); under.append(cell);
      return [line, under];
    }

    cell(name, kind, row, details) {
      const value = this.value(name, row);
      if (name === "case") {
        const head = make("th", undefined, { scope: "row" });
        const open = this.open.has(row);
        const button = make("button", value, { type: "button", class: "open", "aria-expanded": String(open), ...(open && { "aria-controls": details }) });
        button.addEventListener("click", () => this.toggle(row));
        head.append(button);
        return head;
      }
      if (name === "outcome") {
        const cell = make("td");
        cell.append(make("span", value, { class: `mark ${value}` }));
        return cell;
      }
      const unit = this.value("unit", row);
      const text = name === "used" && value !== null ? `${Number((100 * value).toPrecision(3))} %`
        : kind && value !== null ? `${value} ${unit}` : value === null ? "–" : value;
      return make("td", text, kind ? { class: kind } : {});
    }

    toggle(row) {
      if (!this.open.delete(row)) this.open.add(row);
      this.show();
      const at = [...this.rows.slice(this.page * ROWS, (this.page + 1) * ROWS)].indexOf(row);
      this.body.querySelectorAll("button.open")[at].focus();
    }

    told(row) {
      const about = [["In words", "message"], ["Finding", "subject"], ["Where", "where"], ["Checks", "checks"]];
      const list = make("dl");
      for (const [title, name] of about) {
        const value = this.value(name, row);
        if (value) list.append(make("dt", title), make("dd", value));
      }
      return [list, make("pre", this.value("command", row).replaceAll("\0", this.value("case", row)))];
    }
  }

  document.querySelectorAll(".cases").forEach(async (box, number) => {
    const data = box.querySelector("script");
    try { new Cases(box, await unpack(data.textContent), number); } catch (error) {
      if (!(error instanceof ReferenceError)) throw error; // a browser without DecompressionStream; the note says so
    }
  });
})();
