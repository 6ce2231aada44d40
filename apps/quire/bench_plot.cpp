// What --no-cache measured, as an SVG plot: seconds over generated tokens, both axes logarithmic.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "bench_report.hpp"

namespace quire_app {
namespace {

constexpr double kWidth = 640, kHeight = 420, kLeft = 64, kRight = 128, kTop = 40, kBottom = 52;

/// One logarithmic axis from value `low` at pixel `begin` to value `high` at pixel `end`.
struct Axis {
  double low, high, begin, end;
  double at(double value) const { return begin + (end - begin) * std::log(value / low) / std::log(high / low); }
};

std::string formatted(const char* format, double a, double b = 0, double c = 0, double d = 0) {
  char text[256];
  std::snprintf(text, sizeof text, format, a, b, c, d);
  return text;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else if (static_cast<unsigned char>(c) >= 0x20)
      out += c;
  }
  return out;
}

std::string grid(const Axis& x, const Axis& y) {
  std::string svg;
  for (double value = y.low; value <= y.high * 1.001; value *= 10) {
    svg += formatted(R"(<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>)", x.begin, x.end, y.at(value), y.at(value));
    svg += formatted(R"(<text x="%.1f" y="%.1f" text-anchor="end">%g</text>)", x.begin - 8, y.at(value) + 4, value) + "\n";
  }
  for (double value = x.low; value <= x.high * 1.001; value *= 4) {
    svg += formatted(R"(<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>)", x.at(value), x.at(value), y.begin, y.end);
    svg += formatted(R"(<text x="%.1f" y="%.1f" text-anchor="middle">%g</text>)", x.at(value), y.begin + 18, value) + "\n";
  }
  return svg;
}

std::string curve(const Json& points, const char* key, const char* name, const Axis& x, const Axis& y) {
  std::string svg = std::string(R"(<polyline class=")") + key + R"(" points=")";
  for (const Json& point : points) svg += formatted("%.1f,%.1f ", x.at(point["generated"].get<double>()), y.at(point[key].get<double>()));
  svg += "\"/>\n";
  const Json& last = points.back();
  return svg + formatted(R"(<text class="label" x="%.1f" y="%.1f">)", x.at(last["generated"].get<double>()) + 6, y.at(last[key].get<double>()) + 4) + name + "</text>\n";
}

}  // namespace

Outcome plot_no_cache(const Json& report, const std::string& file) {
  std::string name = report["model_name"].get<std::string>();
  if (name.empty()) name = std::filesystem::path(report["model"].get<std::string>()).stem().string();
  const Json& points = report["no_cache"]["points"];
  double least_s = points[0]["with_s"].get<double>(), most_s = least_s;
  for (const Json& point : points)
    for (const char* key : {"with_s", "without_s"}) {
      least_s = std::fmin(least_s, point[key].get<double>());
      most_s = std::fmax(most_s, point[key].get<double>());
    }
  const Axis x = {1, std::fmax(points.back()["generated"].get<double>(), 2), kLeft, kWidth - kRight};
  const Axis y = {std::pow(10, std::floor(std::log10(std::fmax(least_s, 1e-6)))), std::pow(10, std::ceil(std::log10(std::fmax(most_s, 1e-5) * 1.01))), kHeight - kBottom, kTop};
  std::string svg = formatted(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12">)", kWidth, kHeight) + "\n";
  svg += "<style>.grid{stroke:#ccc;stroke-width:1}polyline{fill:none;stroke-width:2}.with_s{stroke:#0a66c2}.without_s{stroke:#c2410c}text{fill:#222}</style>\n";
  svg += formatted(R"(<rect width="%g" height="%g" fill="#fff"/>)", kWidth, kHeight) + "\n";
  svg += formatted(R"(<text x="%g" y="22" font-size="14">)", kLeft) +
         escaped(name + ": seconds for N tokens after a prompt of " + std::to_string(report["no_cache"]["prompt"].get<uint32_t>())) + "</text>\n";
  svg += grid(x, y) + curve(points, "with_s", "with the cache", x, y) + curve(points, "without_s", "without", x, y);
  svg += formatted(R"(<text x="%g" y="%g" text-anchor="middle">)", (x.begin + x.end) / 2, kHeight - 14) + "generated tokens; " + escaped(report["device"].get<std::string>()) +
         "</text>\n</svg>\n";
  std::ofstream stream(file, std::ios::binary);
  stream << svg;
  stream.close();
  return stream ? Outcome{} : failure(kExitRuntime, "cannot write the plot to '" + file + "'");
}

}  // namespace quire_app
