// Models' texts: tags, the number that was taken for the answer, what cannot be seen, and words that differ, marked.

// [start, end, element name, class] for every match of a pattern.
const found = (text, pattern, name, className) =>
  [...text.matchAll(pattern)].map((match) => [match.index, match.index + match[0].length, name, className]);

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

// A text with marks, which may overlap: it is cut where one begins or ends, and a piece is inside all that hold it.
function marked(text, marks) {
  const cuts = [...new Set([0, text.length, ...marks.flatMap(([start, end]) => [start, end])])].sort((a, b) => a - b);
  return cuts.slice(1).map((end, at) => {
    const start = cuts[at];
    return marks
      .filter((mark) => mark[0] <= start && end <= mark[1])
      .reduce((inner, [, , name, className]) => make(name, { className }, inner), text.slice(start, end));
  });
}

// A <pre> with a text, given whole or as what stands before the deciding number, that number, and the rest.
function textOf(pieces, tags, verdict = "", differing = []) {
  const text = pieces.join(""), marks = [...differing];
  if (tags.length) marks.push(...found(text, new RegExp(tags.map(escaped).join("|"), "g"), "mark", "tag"));
  marks.push(...found(text, /⟨(?:U\+[0-9A-F]+(?: × [\d,]+)?|… [\d,]+ characters left out …)⟩/g, "span", "unseen"));
  if (pieces.length > 1) {
    marks.push([pieces[0].length, pieces[0].length + pieces[1].length, "mark", `decided ${verdict}`]);
  }
  return make("pre", { dir: "auto" }, ...marked(text, marks));
}

// The words of two texts that are not in their longest common subsequence, as marks for each: deleted, and inserted.
function difference(before, after) {
  const [old, now] = [before, after].map((text) => [...text.matchAll(/<[^<>\s]+>|[^\s<>]+|[<>]/g)]);
  const same = (i, j) => old[i][0] === now[j][0];
  let first = 0, last = 0;
  while (first < Math.min(old.length, now.length) && same(first, first)) first++;
  while (last < Math.min(old.length, now.length) - first && same(old.length - 1 - last, now.length - 1 - last)) last++;
  const rows = old.length - first - last, columns = now.length - first - last;
  const longest = Array.from({ length: rows + 1 }, () => new Uint16Array(columns + 1)); // of what follows both places
  for (let i = rows - 1; i >= 0; i--) {
    for (let j = columns - 1; j >= 0; j--) {
      longest[i][j] = same(first + i, first + j) ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const deleted = [], inserted = [];
  for (let i = 0, j = 0; i < rows || j < columns; ) {
    if (i < rows && j < columns && same(first + i, first + j)) [i, j] = [i + 1, j + 1];
    else if (j === columns || (i < rows && longest[i + 1][j] >= longest[i][j + 1])) deleted.push(old[first + i++]);
    else inserted.push(now[first + j++]);
  }
  return [joined(deleted, before, "del"), joined(inserted, after, "ins")];
}

// Marks around words; neighbouring words share one.
function joined(words, text, name) {
  const marks = [];
  for (const word of words) {
    const end = word.index + word[0].length, before = marks.at(-1);
    if (before && !text.slice(before[1], word.index).trim()) before[1] = end;
    else marks.push([word.index, end, name, ""]);
  }
  return marks;
}
