"""docs/performance.md from measurements of tools/perf_report: tables, and the roofline of each model as SVG."""
import math
import pathlib
import statistics

PHASES = {"prefill": "#c2410c", "decode": "#0a66c2"}
# A kernel counts as limited by what it uses at least this much of.
MOST = 0.6
# A dispatch shorter than this many of the shortest costs about as much to start as to run.
SHORT_TIMES = 2


def short_name(model):
    return pathlib.Path(model).name.removesuffix(".gguf").replace(" ", "_")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def result_of(report, phase, **wanted):
    for result in report["results"]:
        if result["phase"] == phase and all(result[key] == value for key, value in wanted.items()):
            return result
    return None


def spread(result):
    return f"{result['median_tok_s']:.1f} (±{50 * result['spread']:.0f} %)"


def median_and_range(values, digits):
    """As text: the range only where there are several values."""
    text = f"{statistics.median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def rates(results):
    """Tokens per second of the same case in each round as text; of one round with its spread."""
    return spread(results[0]) if len(results) == 1 else median_and_range([result["median_tok_s"] for result in results], 1)


def ratios_in_turn(result, base):
    """Of tokens per second, repeat by repeat, as text."""
    rate = lambda one, sample: one["tokens"] * one["sequences"] / sample
    return median_and_range([rate(result, mine) / rate(base, other) for mine, other in zip(result["samples_s"], base["samples_s"])], 2)


def line_of_least_squares(xs, ys):
    """Offset and slope."""
    x_mean, y_mean = statistics.mean(xs), statistics.mean(ys)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys)) / sum((x - x_mean) ** 2 for x in xs)
    return y_mean - slope * x_mean, slope


def speed_part(data, common):
    """Beside the peers, where they were measured: medians of the rounds, and the range of the ratios within a round."""
    rounds = [data, *data["more_rounds"]]
    peers = [(which, name) for which, name in (("vulkan", "llama.cpp, Vulkan"), ("cpu", "llama.cpp, CPU")) if which in data["peers"]]
    short, long = common["prompts"]
    decode = f"decode {common['generated']}"
    lines = [(decode, "main", "decode", common["generated"], f"0,{common['generated']}"),
             (f"{decode}, `--persistent`", "persistent", "decode", common["generated"], f"0,{common['generated']}"),
             (f"prefill {short}", "main", "prefill", short, f"{short},0"), (f"prefill {long}", "main", "prefill", long, f"{long},0")]
    rows = []
    for name, report, phase, tokens, key in lines:
        measured = [(one, result_of(one[report], phase, tokens=tokens)) for one in rounds if report in one]
        measured = [(one, result) for one, result in measured if result]
        if not measured:
            continue
        row = [name, rates([result for _, result in measured])]
        for which, _ in peers:
            pairs = [(result["median_tok_s"], one["peers"].get(which, {}).get(key)) for one, result in measured]
            pairs = [(rate, peer) for rate, peer in pairs if peer]
            row += [f"{statistics.median(peer for _, peer in pairs):.1f}", median_and_range([rate / peer for rate, peer in pairs], 2)] if pairs else ["not measured", ""]
        rows.append(row)
    head = ["tok/s", "Quire"]
    for _, name in peers:
        head += [name, "ratio"]
    known = [(phase, tokens) for _, _, phase, tokens, _ in lines]
    others = [result for result in data["main"]["results"] if (result["phase"], result["tokens"]) not in known]
    rows += [[f"{result['phase']} {result['tokens']}", spread(result)] + [""] * (len(head) - 2) for result in others]
    text = f"Medians of {len(rounds)} rounds of the program and its peers in turn, and the range of the rounds.\n\n" if len(rounds) > 1 else ""
    if peers:
        each_round, once = data["peer_flags"]
        text += f"Peers: `llama-bench {each_round}` after its own warm-up, in each round; `{once}` once, since it takes minutes.\n\n"
    return text + table(head, rows)


def attention_added(without, deep):
    """Of two results in turn, at depth 0 and at another one: what the depth adds to a step is attention, with the merge of its splits. GMAC/s and GB/s, or
    None where the difference is lost in noise."""
    seconds = statistics.median(b - a for a, b in zip(without["samples_s"], deep["samples_s"]))
    more = {key: sum(sign * row[key] for sign, result in ((-1, without), (1, deep)) for row in result["kernels"] if row["kernel"] == "attend_decode")
            for key in ("multiply_adds", "moved_bytes")}
    return {"gmac_s": more["multiply_adds"] / 1e9 / seconds, "gb_s": more["moved_bytes"] / 1e9 / seconds} if seconds > 0 else None


def attention_text(measured):
    """The sentence about attention beside products, from the rounds of both."""
    pairs = [pair for pair in measured["pairs"] if pair["attention"]]
    products, attention = (f"`{command}`" for command in measured["commands"])
    text = (f"Attention in GMAC/s is that of what a depth adds to the wall time of a step, the merge of its splits included. In {len(measured['pairs'])} rounds of "
            f"{products}, a step that is little else than one-token products of f16 matrices of 4 to 34 million weights, and {attention} in turn: ")
    if not pairs:
        return text + "the difference is lost in noise."
    lost = len(measured["pairs"]) - len(pairs)
    return (text + f"attention {median_and_range([pair['attention'] for pair in pairs], 1)} GMAC/s, products {median_and_range([pair['products'] for pair in pairs], 1)}; "
            f"the ratio within a round is {median_and_range([pair['attention'] / pair['products'] for pair in pairs], 2)}" +
            (f", {lost} lost in noise left out." if lost else "."))


def depth_part(data):
    report = data.get("depths")
    if report is None:
        return ""
    rows, results = [], report["results"]
    depths, times_ms = [result["depth"] for result in results], [result["wall_us"] / result["tokens"] / 1000 for result in results]
    offset, slope = line_of_least_squares(depths, times_ms)
    products = statistics.median(pair["products"] for pair in data["attention"]["pairs"])
    for result, time_ms in zip(results, times_ms):
        added = attention_added(results[0], result) if result["depth"] else None
        row = [str(result["depth"]), spread(result), f"{time_ms:.2f}", f"{offset + slope * result['depth']:.2f}"]
        row += [f"{added['gmac_s']:.1f}", f"{100 * added['gmac_s'] / products:.0f} %", f"{100 * added['gb_s'] / report['copy_gb_s']:.0f} %"] if added else [""] * 3
        rows.append(row)
    text = table(["depth", "decode, tok/s", "ms a token", "on the line", "attention, GMAC/s", "of f16 matrix × vector", "of copy bandwidth"], rows)
    return (f"### By context depth\n\n`{report['command']}`\n\nThe line of least squares: {offset:.2f} ms a token and {1000 * slope:.2f} µs for each token in the "
            f"cache. {attention_text(data['attention'])} The table has one run a depth, beside the median of those products.\n\n{text}\n")


def sequences_part(data):
    report = data["sequences"]
    alone = result_of(report, "decode", sequences=1)
    rows = [[str(result["sequences"]), spread(result), ratios_in_turn(result, alone)] for result in report["results"]]
    return f"### Sequences decoded together\n\n`{report['command']}`\n\n{table(['sequences', 'decode, tok/s of all', 'of one'], rows)}\n"


def pages_part(data):
    report = data["pages"]
    base = result_of(report, "decode", kv_k="f16")
    rows = [[result["kv_k"], spread(result), ratios_in_turn(result, base)] for result in report["results"]]
    return f"### Page formats at depth {base['depth']}\n\n`{report['command']}`\n\n{table(['pages', 'decode, tok/s', 'of f16'], rows)}\n"


def cache_part(data):
    report = data["no_cache"]
    result = report["no_cache"]
    rows = [[str(r["generated"]), f"{r['with_s']:.2f}", f"{r['without_s']:.1f}", f"{r['ratio']:.1f}", f"{r['measured']} of {r['generated']}", f"{r['equal']} of {r['checked']}"]
            for r in result["lengths"]]
    text = table(["generated tokens", "with the cache, s", "without, s", "ratio", "positions measured", "tokens equal"], rows)
    note = " Between measured positions, time without the cache is interpolated." if result["interpolated"] else ""
    plot = f"performance_{short_name(data['model'])}_cache.svg"
    return (f"### With and without the cache\n\n`{report['command']}`\n\nAfter a prompt of {result['prompt']} tokens; without the cache, each token is computed from its whole "
            f"prefix with the kernels of prompts.{note} Tokens are compared where the two best logits are at least {result['margin']} apart.\n\n{text}\n"
            f"![seconds over generated tokens, with and without the cache]({plot})\n\n")


def fastest_gmac_s(report):
    return max(row["gmac_s"] for result in report["results"] for row in result.get("kernels", []))


def us_each(row):
    return row["us"] / row["dispatches"]


def limit_of(row, fastest, shortest_us):
    memory, arithmetic = row["copy_share"], row["gmac_s"] / fastest
    if memory >= MOST and memory >= arithmetic:
        return "memory"
    if arithmetic >= MOST:
        return "arithmetic"
    if us_each(row) < SHORT_TIMES * shortest_us:
        return "its start: too little work a dispatch"
    return f"neither: {100 * memory:.0f} % of copies, {100 * arithmetic:.0f} % of the fastest kernel's arithmetic"


def kernel_name(row):
    return row["kernel"] + (f" {row['weight']}" if row["weight"] else "")


def kernels_part(data, result):
    fastest = fastest_gmac_s(data["main"])
    shortest_us = min(us_each(row) for row in result["kernels"])
    rows = []
    for row in result["kernels"]:
        rows.append([kernel_name(row), str(row["dispatches"]), f"{us_each(row):.1f}", f"{100 * row['us'] / result['gpu_us']:.1f} %",
                     f"{row['moved_bytes'] / 1e6:.1f}", f"{row['gb_s']:.2f}", f"{100 * row['copy_share']:.0f} %", f"{row['gmac_s']:.1f}", limit_of(row, fastest, shortest_us)])
    text = table(["kernel", "dispatches", "µs each", "of kernel time", "MB moved", "GB/s", "of copy", "GMAC/s", "limited by"], rows)
    outside = 100 * result["outside_us"] / result["timed_wall_us"]
    return (f"#### {result['phase']} of {result['tokens']} tokens\n\nWith timestamps on the run took {result['timed_wall_us'] / 1000:.1f} ms, and its kernels {result['gpu_us'] / 1000:.1f} ms: "
            f"{outside:.1f} % lie outside. Without timestamps {result['wall_us'] / 1000:.1f} ms, of which the calling thread used the processor for "
            f"{100 * result['host_cpu_us'] / result['wall_us']:.1f} %: a timestamp after every dispatch makes the processor finish it before the next begins, and short "
            f"dispatches look longer than they are.\n\n{text}\n")


def roofline_svg(data):
    """GMAC/s over multiply-accumulates a byte, both logarithmic; the roofs are the copy bandwidth and the fastest kernel's arithmetic."""
    report = data["main"]
    shown = [result_of(report, "decode"), max((r for r in report["results"] if r["phase"] == "prefill"), key=lambda r: r["tokens"])]
    points = [(result["phase"], row, row["multiply_adds"] / row["moved_bytes"], row["gmac_s"], row["us"] / result["gpu_us"])
              for result in shown for row in result["kernels"] if row["multiply_adds"] > 0]
    fastest, copy = fastest_gmac_s(report), report["copy_gb_s"]
    width, height, left, right, top, bottom = 860, 440, 60, 290, 44, 50
    x_low, x_high = (10 ** f(math.log10(value)) for f, value in ((math.floor, min(p[2] for p in points)), (math.ceil, max(p[2] for p in points) * 1.01)))
    y_low, y_high = (10 ** f(math.log10(value)) for f, value in ((math.floor, min(p[3] for p in points)), (math.ceil, fastest * 1.01)))
    x = lambda value: left + (width - left - right) * math.log(value / x_low) / math.log(x_high / x_low)
    y = lambda value: height - bottom - (height - top - bottom) * math.log(value / y_low) / math.log(y_high / y_low)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           '<style>.grid{stroke:#ddd}.roof{stroke:#222;stroke-width:2;fill:none}text{fill:#222}.inside{fill:#fff;text-anchor:middle;font-size:10px}</style>',
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="{left}" y="20" font-size="14">{report["model_name"] or short_name(data["model"])}: kernels on {report["device"]}</text>']
    decade = lambda low, high: [10 ** e for e in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    for value in decade(x_low, x_high):
        svg.append(f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top}" y2="{height - bottom}"/><text x="{x(value):.1f}" y="{height - bottom + 16}" text-anchor="middle">{value:g}</text>')
    for value in decade(y_low, y_high):
        svg.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/><text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    svg.append(f'<text x="{(left + width - right) / 2}" y="{height - 12}" text-anchor="middle">multiply-accumulates a byte moved</text><text x="12" y="{top - 8}">GMAC/s</text>')
    ridge = min(max(fastest / copy, x_low), x_high)
    start = max(x_low, y_low / copy)
    svg.append(f'<polyline class="roof" points="{x(start):.1f},{y(min(max(copy * start, y_low), fastest)):.1f} {x(ridge):.1f},{y(fastest):.1f} {x(x_high):.1f},{y(fastest):.1f}"/>')
    legend_x, legend_y = width - right + 16, top + 4
    svg.append(f'<text x="{legend_x}" y="{legend_y}">roofs: copies {copy:.1f} GB/s, fastest {fastest:.0f} GMAC/s</text>')
    for index, (phase, row, intensity, rate, share) in enumerate(sorted(points, key=lambda p: -p[4]), 1):
        radius = 7 + 14 * math.sqrt(share)
        svg.append(f'<circle cx="{x(intensity):.1f}" cy="{y(rate):.1f}" r="{radius:.1f}" fill="{PHASES[phase]}" fill-opacity="0.75"/>'
                   f'<text class="inside" x="{x(intensity):.1f}" y="{y(rate) + 4:.1f}">{index}</text>')
        svg.append(f'<text x="{legend_x}" y="{legend_y + 18 * index}" style="fill:{PHASES[phase]}">{index}  {phase}: {kernel_name(row)}, {100 * share:.0f} %</text>')
    return "\n".join(svg) + "\n</svg>\n"


def model_part(data, docs, common):
    report = data["main"]
    name = short_name(data["model"])
    (docs / f"performance_{name}_roofline.svg").write_text(roofline_svg(data))
    machine = data["machine"]
    text = f"## {report['model_name'] or name} (`{name}`)\n\n"
    text += table(["measured", ""], [
        ["device, driver", f"{report['device']}, {report['driver']}"],
        ["machine", f"{machine['processor']}, {machine['cpus']} processors, {machine['system']}; load {machine['load']} when it began"],
        ["date, build", f"{report['date']}, commit {data['commit']}, {report['build']}"],
        ["variants", f"`{report['variants']}`"],
        *([["driver's threads", f"{report['bound_driver_threads']}, each on a processor of its own"]] if report.get("bound_driver_threads") else []),
        ["copies on the device", f"{report['copy_gb_s']:.1f} GB/s, bytes read and written together"],
    ]) + "\n"
    if data["first_token_s"] is not None:
        text += f"Load to first token, everything warm, `quire run {name} \"Why is the sky blue?\" -n 1 --temp 0`: {data['first_token_s']:.2f} s.\n\n"
    text += f"### Speed\n\n`{report['command']}`\n\n{speed_part(data, common)}\n"
    text += depth_part(data) + sequences_part(data) + pages_part(data) + cache_part(data)
    text += f"### Where the time goes, and what limits each kernel\n\n![roofline of the kernels](performance_{name}_roofline.svg)\n\n"
    text += "Circles are as large as a kernel's share of its phase. A kernel counts as limited by memory or arithmetic if it reaches " \
            f"{100 * MOST:.0f} % of the copy bandwidth or of the fastest kernel's arithmetic, else by its start if it takes less than twice as long as the shortest dispatch of its phase.\n\n"
    shown = [result_of(report, "decode"), *(r for r in report["results"] if r["phase"] == "prefill" and r["tokens"] in common["prompts"])]
    return text + "".join(kernels_part(data, result) for result in shown)


def write(models, docs, common, today):
    """Writes the page and returns its path. Each of `models` is one file of tools/perf_report's measurements."""
    page = docs / "performance.md"
    short = " --short" if any(m["short"] for m in models) else ""
    text = (f"# Performance\n\nMade by `tools/perf_report{short}` on {today}; do not edit. Speeds are medians after a warm-up, with half the distance between the slowest and the fastest run "
            "beside them, or with the range of several. A ratio is the median of the ratios within a round, or within a repeat where cases were measured in turn. Kernels' times are of one "
            "run, and so are times without the cache. The command that made figures stands above them; peers ran in the minutes between, with the same file and number of threads. Kernels "
            "moved the bytes that their shapes say: bytes that caches served twice count twice, so that a share of the copy bandwidth can exceed 100 %, also where copies use fewer "
            "processors than kernels do.\n\n")
    text += "\n".join(model_part(data, docs, common) for data in models)
    tried = docs / "performance_tried.md"
    if tried.is_file():
        text += "\n" + tried.read_text()
    page.write_text(text)
    return page
