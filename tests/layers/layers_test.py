#!/usr/bin/env python3
"""Checks the shape of the source tree and of the built libraries.

usage: layers_test.py SOURCE_FOLDER BUILD_FOLDER [NAME-OF-A-CHECK...]
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1]).resolve()
BUILD = pathlib.Path(sys.argv[2]).resolve()

SOURCE_ENDINGS = {".cpp", ".hpp", ".h", ".c", ".comp", ".glsl", ".py", ".sh"}
SOURCE_CAP, SHADER_CAP = 500, 300
# Longer files, each with its reason.
LONG_FILES = {}

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def files_of_tree():
    """What git would carry: tracked files, and new ones that are not ignored."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True)
    if listed.returncode == 0:
        paths = (ROOT / line for line in listed.stdout.splitlines())
    else:
        paths = (p for p in ROOT.rglob("*") if "build" not in p.relative_to(ROOT).parts and ".git" not in p.relative_to(ROOT).parts)
    return sorted(p for p in paths if p.is_file())


FILES = files_of_tree()


def relative(path):
    return path.relative_to(ROOT).as_posix()


def read(path):
    return path.read_text(encoding="utf-8", errors="replace")


def sources(*folders, endings=(".cpp", ".hpp", ".h", ".c", ".comp", ".glsl")):
    return [p for p in FILES if p.suffix in endings and any(relative(p).startswith(folder + "/") for folder in folders)]


def layers_in_order():
    """The folders of CMakeLists.txt's add_subdirectory, lowest first, without the tests."""
    found = re.findall(r"^add_subdirectory\(([^)]+)\)", read(ROOT / "CMakeLists.txt"), re.MULTILINE)
    return [folder for folder in found if not folder.startswith("tests")]


def layer_of(path_text, layers):
    matching = [folder for folder in layers if path_text.startswith(folder + "/")]
    return max(matching, key=len) if matching else None


# Includes that point up, each with its reason.
UPWARD = {("shaders/shader_binaries.hpp", "engine/device/kernel_manifest.hpp"):
          "the table of compiled kernels is keyed by the manifest's names; they are plain enumerations, and nothing is linked"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


@check
def includes_point_down():
    layers = layers_in_order()
    assert len(layers) >= 8, f"CMakeLists.txt names only {layers}"
    seen = 0
    for path in sources(*layers):
        own = layer_of(relative(path), layers)
        for target in INCLUDE.findall(read(path)):
            if target.startswith("shaders/interface/"):
                continue  # plain headers, visible to all
            if target.startswith("quire/"):
                if own not in ("engine/api", "apps/quire"):
                    yield f"{relative(path)} includes the public header {target}"
                continue
            other = layer_of(target, layers)
            if other is None:
                continue
            seen += 1
            if layers.index(other) > layers.index(own) and (relative(path), target) not in UPWARD:
                yield f"{relative(path)} ({own}) includes {target} of the higher layer {other}"
            if own == "apps/quire" and other != own:
                yield f"{relative(path)} includes {target}: the program uses the public header only"
    assert seen > 50, f"only {seen} includes between layers were seen"


@check
def what_is_private_stays_private():
    private = {"engine/device/backend.hpp": "engine/device/", "engine/generate/model_impl.hpp": "engine/generate/",
               "engine/generate/session_impl.hpp": "engine/generate/", "cache/kv_cache_state.hpp": "cache/"}
    for path in sources("engine", "cache", "apps"):
        for target in INCLUDE.findall(read(path)):
            if target in private and not relative(path).startswith(private[target]):
                yield f"{relative(path)} includes {target}, which is private to {private[target]}"
            if target.startswith("vulkan/") and not relative(path).startswith("engine/device/vulkan/"):
                yield f"{relative(path)} includes {target} outside the Vulkan backend"
            if target.startswith("CLI/") and relative(path) != "apps/quire/command_line.cpp":
                yield f"{relative(path)} includes {target}, which command_line.hpp spares all other files: it compiles for 10 s"


def manifest_rows():
    text = read(ROOT / "engine/device/kernel_manifest.cpp")
    return re.findall(r"\{KernelId::(\w+),\s*\"(\w+)\",\s*sizeof\((\w+)\)", text)


def family_names(kernel):
    """A kernel's name, and the one it shares with its siblings: matmul_few, matmul."""
    return {kernel, kernel.rsplit("_", 1)[0]}


@check
def each_kernel_has_one_name_everywhere():
    rows = manifest_rows()
    names = [name for _, name, _ in rows]
    enumerators = re.search(r"enum class KernelId[^{]*\{([^}]*)\}", read(ROOT / "engine/device/kernel_manifest.hpp")).group(1)
    enumerators = [word for word in re.findall(r"^\s*(\w+),", enumerators, re.MULTILINE) if word != "count"]
    if names != enumerators:
        yield f"the manifest lists {names}, KernelId {enumerators}"
    shaders = sorted(p.stem for p in FILES if p.suffix == ".comp")
    if shaders != sorted(names):
        yield f"shaders/*.comp are {shaders}, the manifest has {sorted(names)}"
    arguments = read(ROOT / "shaders/interface/kernel_args.h")
    recording = read(ROOT / "engine/forward/kernels.hpp")
    reference = read(ROOT / "engine/device/reference/reference_kernels.hpp")
    conformance = "".join(read(p) for p in sources("tests/conformance"))
    for enumerator, name, struct in rows:
        if enumerator != name:
            yield f"KernelId::{enumerator} is called \"{name}\" in the manifest"
        allowed = {"".join(word.capitalize() for word in family.split("_")) + "Args" for family in family_names(name)}
        if struct not in allowed:
            yield f"{name} takes {struct}, not {' or '.join(sorted(allowed))}"
        if not re.search(rf"^struct {struct} \{{", arguments, re.MULTILINE):
            yield f"kernel_args.h has no struct {struct} for {name}"
        if not any(re.search(rf"\brecord_{family}\(", recording) for family in family_names(name)):
            yield f"kernels.hpp has no record_{name}"
        if not any(re.search(rf"\bvoid {family}\(const {struct}&", reference) for family in family_names(name)):
            yield f"reference_kernels.hpp has no twin of {name}"
        if f"KernelId::{name}" not in conformance:
            yield f"tests/conformance has no case for {name}"


@check
def files_are_not_too_long():
    for path in FILES:
        cap = SHADER_CAP if path.suffix in (".comp", ".glsl") else SOURCE_CAP
        if path.suffix not in SOURCE_ENDINGS and path.name not in ("check", "quickstart", "CMakeLists.txt"):
            continue
        lines = read(path).count("\n")
        if lines > cap and relative(path) not in LONG_FILES:
            yield f"{relative(path)} has {lines} lines, more than {cap}"
        if lines <= cap and relative(path) in LONG_FILES:
            yield f"{relative(path)} is listed as long and has only {lines} lines"


def symbols(*arguments):
    return subprocess.run(["nm", *arguments], capture_output=True, text=True, check=True).stdout.splitlines()


@check
def libraries_reference_no_global_vulkan_symbol():
    archives = sorted(p for folder in ("engine", "cache", "shaders") for p in (BUILD / folder).rglob("*.a"))
    assert len(archives) >= 8, f"only {archives} are built"
    for archive in archives:
        for line in symbols("-u", str(archive)):
            if match := re.search(r"\bU (vk[A-Z]\w*)$", line):
                yield f"{archive.relative_to(BUILD)} references {match.group(1)}"


@check
def exported_names_start_with_quire():
    library = BUILD / "engine/api/libquire.so"
    exported = [line.split()[-1] for line in symbols("-D", "--defined-only", str(library))]
    declared = set(re.findall(r"\b(quire_\w+)\(", re.sub(r"/\*.*?\*/", "", read(ROOT / "engine/include/quire/quire.h"), flags=re.DOTALL)))
    assert len(exported) > 30, f"libquire.so exports only {exported}"
    for name in exported:
        if not name.startswith("quire_"):
            yield f"libquire.so exports {name}"
    for name in sorted(declared - set(exported)):
        yield f"quire.h declares {name}, which libquire.so does not export"
    for name in sorted(set(exported) - declared):
        yield f"libquire.so exports {name}, which quire.h does not declare"
    for archive in sorted((BUILD / "engine").rglob("*.a")):
        for line in symbols("-g", "--defined-only", str(archive)):
            words = line.split()
            if len(words) == 3 and words[1] in "TDBR" and not words[2].startswith(("_Z", "quire_", "_GLOBAL_", "DW.ref.")):
                yield f"{archive.name} defines the global C name {words[2]}"


@check
def each_header_compiles_alone():
    headers = sources("engine", "cache", "shaders/interface", "apps", endings=(".hpp", ".h"))
    headers = [h for h in headers if "/windows/" not in relative(h)]
    assert len(headers) > 40
    commands = json.loads(read(BUILD / "compile_commands.json"))
    # The build has already compiled a header alone where it is a source's first include; only a missing guard would not show.
    first_includes = {INCLUDE.search(read(source))[1] for c in commands if (source := pathlib.Path(c["file"])).is_relative_to(ROOT) and INCLUDE.search(read(source))}
    compiled = [h for h in headers if relative(h).removeprefix("apps/quire/") in first_includes]
    headers = [h for h in headers if h not in compiled]
    assert len(compiled) > 40 and len(headers) > 10, f"{len(compiled)} headers are first includes, {len(headers)} are not"
    for header in compiled:
        if not re.search(r"^#pragma once$", read(header), re.MULTILINE):
            yield f"{relative(header)} has no #pragma once"
    compiler = next(re.search(r"(\S*(?:c\+\+|g\+\+|clang\+\+)\S*)", c["command"]).group(1) for c in commands if c["file"].endswith(".cpp"))
    launcher = [shutil.which("ccache")] if shutil.which("ccache") else []
    common = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT}", f"-I{ROOT}/engine/include", f"-I{ROOT}/apps/quire",
              f"-I{BUILD}/apps/quire", f"-I{BUILD}/shaders"]

    def compile_alone(job):
        header, command, ending, text = job
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder) / ("alone" + ending)
            unit.write_text(text)
            result = subprocess.run([*launcher, *command, "-c", str(unit), "-o", str(unit) + ".o"], capture_output=True, text=True)
            return header, result.stderr if result.returncode else None

    # The name of the unit differs from run to run, its text does not; an include twice shows a missing guard.
    jobs = [(h, [compiler, *common], ".cpp", f'#include "{relative(h)}"\n#include "{relative(h)}"\nint main() {{ return 0; }}\n') for h in headers]
    public = '#include "quire/quire.h"\n#include "quire/quire.h"\nint main(void) { return 0; }\n'
    c_compiler = shutil.which("gcc") or shutil.which("cc")
    jobs.append((ROOT / "engine/include/quire/quire.h", [c_compiler, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wstrict-prototypes", "-Werror",
                                                         f"-I{ROOT}/engine/include"], ".c", public))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for header, error in pool.map(compile_alone, jobs):
            if error is not None:
                yield f"{relative(header)} does not compile alone: {error.strip().splitlines()[0]}"


# Pattern, folders, what is wrong, and the files that may have it with the reason.
FORBIDDEN = [
    (r"\b(TODO|FIXME|XXX|HACK)\b", ("",), "an unfinished place", {}),
    (r"\b(chatgpt|copilot|claude|openai assistant)\b", ("",), "how the text came about", {}),
    (r"/(work|root|home)/[a-z]", ("",), "a path of one machine", {}),
    (r"\b(pypi\.org|pythonhosted\.org|deb\.debian\.org|archive\.ubuntu\.com|huggingface\.co|registry\.npmjs\.org)\b", ("",), "a registry's host name", {}),
    (r"\bclass \w*(Manager|Helper|Utils?)\b", ("engine", "cache", "apps"), "a name that says nothing", {}),
    (r"\bgetenv\b", ("engine", "cache"), "an environment variable in the library", {}),
    (r"\b(std::thread|std::jthread|std::async|pthread_create)\b", ("engine", "cache"), "a thread in the library", {}),
    (r"\b(vkDeviceWaitIdle|vkQueueWaitIdle)\b", ("engine",), "a wait without a time-out", {}),
    (r"\b(abort|std::terminate|std::exit|_Exit|quick_exit)\s*\(", ("engine", "cache"), "an end of the host's process", {}),
    (r"\bthrow\b", ("engine", "cache"), "an exception of our own",
     {"engine/api/host_memory.cpp": "a memory resource reports that the host's allocator has none; every entry point catches it"}),
    (r"\bassert\s*\(", ("engine", "cache"), "a check that is gone in a release", {}),
]


@check
def forbidden_words_are_absent():
    own = pathlib.Path(__file__).resolve()
    for pattern, folders, reason, exceptions in FORBIDDEN:
        expression = re.compile(pattern, re.IGNORECASE if "chatgpt" in pattern else 0)
        for path in FILES:
            name = relative(path)
            if path.resolve() == own or name in exceptions or not any(name.startswith(folder + "/") or folder == "" for folder in folders):
                continue
            for number, line in enumerate(read(path).splitlines(), 1):
                code = re.sub(r"//.*|/\*.*?\*/", "", line) if folders != ("",) else line
                if match := expression.search(code):
                    yield f"{name}:{number} has {reason}: {match.group(0)}"


def main():
    wanted = sys.argv[3:]
    passed = failed = 0
    for function in CHECKS:
        if wanted and function.__name__ not in wanted:
            continue
        try:
            problems = list(function())
        except AssertionError as assertion:
            problems = [f"the check itself is blind: {assertion}"]
        for problem in problems:
            print(f"{function.__name__}: {problem}")
        if problems:
            print(f"TEST CASE: layers: {function.__name__.replace('_', ' ')}")
        passed += not problems
        failed += bool(problems)
    print(f"totals: {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
