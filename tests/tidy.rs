//! The house rules that no lint keeps, each with a snippet that breaks it and one that does not.
//!
//! `src/README.md` says why they are there. A rule looks at a file's code without comments, literals and unit tests, at
//! its literals, or at its text as it stands.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/citations.rs"]
mod citations;
#[path = "tidy/commands.rs"]
mod commands;
#[path = "tidy/english.rs"]
mod english;
#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/map.rs"]
mod map;
#[path = "tidy/papers.rs"]
mod papers;
#[path = "tidy/sessions.rs"]
mod sessions;
#[path = "tidy/shown.rs"]
mod shown;
#[path = "tidy/source.rs"]
mod source;

use std::path::Path;

use source::{Finding, Source, declared, items, lines, literals, parts, walk, words};

/// Lines of code, without comments and unit tests, that a file of shipped code may have.
const CEILING: usize = 400;
/// The files that have more, what each may have, and why it is not two files. One that has become shorter is taken off.
const OVER_THE_CEILING: &[(&str, usize)] = &[
    // The simulated kernel: one method per system call, over one state.
    ("src/sim/kernel.rs", 450),
    // A second reading of RFC 9112, to be read from top to bottom like the grammar.
    ("src/sim/reference.rs", 450),
];

/// The files that may have unsafe code: a signal handler, the kernel's clocks and the environment without the detours that
/// cost a start time, `sendfile`, vector instructions for heads, an allocator, glibc's free memory, a start from C's `main`, and the
/// test that counts allocations.
const ISLANDS: &[&str] = &[
    "src/allocator.rs",
    "src/h1/vector.rs",
    "src/os/clock.rs",
    "src/os/descriptors.rs",
    "src/os/exchange.rs",
    "src/os/memory.rs",
    "src/os/send_file.rs",
    "src/os/signal.rs",
    "src/os/stream.rs",
    "src/os/variable.rs",
    "src/start.rs",
    "tests/alloc.rs",
];

/// Fields that frame a message or say what becomes of its connection.
const FRAMING_FIELDS: &[&str] = &[
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "expect",
    "trailer",
    "te",
];

/// Words that say nothing about what they name; the second list only in front of others.
const EMPTY_WORDS: &[&str] = &["manager", "util", "utils", "common", "data", "info"];
const EMPTY_VERBS: &[&str] = &["get", "handle", "do"];

/// Methods of other crates' traits, each with the file that implements it.
const NAMED_ELSEWHERE: &[(&str, &str)] = &[
    ("tower/examples/mcp.rs", "get_info"),
    ("platform/templates/mcp.rs", "get_info"),
];

/// One rule: where it holds, what breaks it, and two snippets that show it.
struct Rule {
    why: &'static str,
    applies: fn(&str) -> bool,
    find: fn(&Source) -> Vec<Finding>,
    bad: Snippet,
    good: Snippet,
}

/// A path and the text of a file there.
type Snippet = (&'static str, &'static str);

#[test]
fn h1_names_nothing_above_it_and_no_world() {
    keep(&Rule {
        why: "h1 could be a crate of its own: it names h1, limits and core, nothing else",
        applies: |path| path.starts_with("src/h1/"),
        find: |source| {
            let mut found = words(
                &source.shipped,
                &["std", "mio", "socket2", "bytes::", "super::super"],
            );
            let ours = ["crate::h1", "crate::limits"];
            found.extend(
                words(&source.shipped, &["crate::"])
                    .into_iter()
                    .filter(|(at, _)| {
                        let named = &source.shipped[*at..];
                        !ours.iter().any(|path| named.starts_with(path))
                    }),
            );
            found
        },
        bad: ("src/h1/head.rs", "use crate::headers::Headers;"),
        good: (
            "src/h1/head.rs",
            "// std\nuse crate::limits::X;\n#[cfg(test)]\nmod tests { use std::io; }",
        ),
    });
}

/// The layers of the crate, lowest first: what stands on one line may name the lines before it, and itself.
const LAYERS: &[&[&str]] = &[
    &["limits", "sync"],
    &["h1", "os"],
    &["current_request"],
    &["output"],
    &["observe"],
    &["task"],
    &["message"],
    &["handler"],
    &["reactor", "testing"],
    &["server"],
    &["function"],
];

fn layer_of(room: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&room))
}

#[test]
fn arrows_point_down() {
    keep(&Rule {
        why: "a folder names only what is below it: sync, limits <- os, h1 <- task <- message <- handler <- reactor <- server \
              <- function",
        applies: |path| room_of(path).and_then(layer_of).is_some(),
        find: |source| {
            let own = room_of(&source.path).unwrap_or_default();
            let paths = source.shipped.match_indices("crate::");
            let rooms =
                paths.map(|(at, mark)| (at, first_word(&source.shipped[at + mark.len()..])));
            let is_up = |named: &str| named != own && layer_of(named) >= layer_of(own);
            rooms
                .filter(|(_, named)| layer_of(named).is_some() && is_up(named))
                .map(|(at, named)| (at, format!("{own} names {named}")))
                .collect()
        },
        bad: ("src/message/body.rs", "use crate::handler::Handler;"),
        good: (
            "src/message/body.rs",
            "use crate::{message::Bytes, sync::pause};\nuse crate::message::headers;\nuse crate::sync::pause::Pause;",
        ),
    });
}

/// The folder, or the file by itself, under `src/` that a path belongs to.
fn room_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let room = inside.split('/').next()?;
    Some(room.strip_suffix(".rs").unwrap_or(room))
}

fn first_word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

#[test]
fn the_reactor_compares_no_byte() {
    keep(&Rule {
        why: "the reactor moves bytes and has no literal of them",
        applies: |path| path.starts_with("src/reactor/"),
        find: |source| literals(source, |literal| literal.starts_with('b')),
        bad: ("src/reactor/session/mod.rs", "if bytes == b\"\\r\\n\" {}"),
        good: (
            "src/reactor/session/mod.rs",
            "/// b\"x\"\nfn f<'b>(_: &'b str) { g(\"b'x'\") }",
        ),
    });
}

#[test]
fn only_two_files_name_the_kernel_crates() {
    keep(&Rule {
        why: "only src/os/real.rs names mio",
        applies: |path| path.starts_with("src/") && path != "src/os/real.rs",
        find: |source| words(&source.code, &["mio"]),
        bad: ("src/os/listener.rs", "fn f(_: mio::Token) {}"),
        good: ("src/server/mod.rs", "let mio_like = \"mio\"; // mio"),
    });
    keep(&Rule {
        why: "only src/os/real.rs and src/os/listener.rs name socket2",
        applies: |path| {
            let is_fence = ["src/os/real.rs", "src/os/listener.rs"].contains(&path);
            path.starts_with("src/") && !is_fence
        },
        find: |source| words(&source.code, &["socket2"]),
        bad: ("src/server/mod.rs", "fn f(_: socket2::Socket) {}"),
        good: (
            "src/server/mod.rs",
            "let socket2_like = \"socket2\"; // socket2",
        ),
    });
}

#[test]
fn only_one_file_names_httparse() {
    keep(&Rule {
        why: "only src/h1/head.rs names httparse, whose leniencies it closes",
        applies: |path| path.starts_with("src/") && path != "src/h1/head.rs",
        find: |source| words(&source.code, &["httparse"]),
        bad: ("src/h1/decode.rs", "use httparse::parse_chunk_size;"),
        good: ("src/h1/decode.rs", "//! Not httparse."),
    });
}

#[test]
fn only_framing_and_encode_spell_framing_fields() {
    keep(&Rule {
        why: "only src/h1/framing.rs reads and src/h1/encode.rs writes framing fields; src/sim and src/testing play \
              the peer",
        applies: |path| {
            let spell = [
                "src/h1/framing.rs",
                "src/h1/encode.rs",
                "src/testing/mod.rs",
            ];
            path.starts_with("src/") && !path.starts_with("src/sim/") && !spell.contains(&path)
        },
        find: |source| {
            literals(source, |literal| {
                let text = literal
                    .trim_start_matches('b')
                    .trim_matches('"')
                    .to_lowercase();
                let name = text.split(':').next().unwrap_or_default();
                FRAMING_FIELDS.contains(&name.trim())
            })
        },
        bad: ("src/server/mod.rs", "headers.text(\"Content-Length\")"),
        good: (
            "src/server/mod.rs",
            "/// \"content-length\"\nlet content_length = \"the length\";",
        ),
    });
}

#[test]
fn only_the_function_knows_the_platform() {
    keep(&Rule {
        why: "only src/function/, src/bin/ and platform/ know that a platform exists",
        applies: |path| {
            let know = ["src/function/", "src/bin/"];
            path.starts_with("src/") && !know.iter().any(|start| path.starts_with(start))
        },
        find: |source| {
            let named = ["x-fc", "fc_", "x_fc", "aliyun", "alibaba"];
            let mut found = words(&source.shipped.to_lowercase(), &named);
            found.extend(literals(source, |literal| {
                !words(&literal.to_lowercase(), &named).is_empty()
            }));
            found
        },
        bad: ("src/server/mod.rs", "env(\"FC_SERVER_PORT\")"),
        good: (
            "src/server/mod.rs",
            "//! FC_SERVER_PORT\nlet ifc_len = \"the platform\";",
        ),
    });
}

/// Whether it is a file of one of the packages that are shipped.
fn is_shipped(path: &str) -> bool {
    let packages = ["src/", "platform/src/", "tower/src/"];
    packages.iter().any(|package| path.starts_with(package))
}

fn lines_of_code(source: &Source) -> usize {
    let is_code = |line: &&str| !line.trim().is_empty();
    source.shipped.lines().filter(is_code).count()
}

fn ceiling_of(path: &str) -> usize {
    let listed = OVER_THE_CEILING.iter().find(|(over, _)| *over == path);
    listed.map_or(CEILING, |(_, ceiling)| *ceiling)
}

#[test]
fn files_stay_under_their_ceilings() {
    keep(&Rule {
        why: "a file has grown over its ceiling: split it, or argue in the commit that raises the number",
        applies: is_shipped,
        find: |source| {
            let (len, ceiling) = (lines_of_code(source), ceiling_of(&source.path));
            let found = (0, format!("{len} lines of code, and at most {ceiling}"));
            Some(found).filter(|_| len > ceiling).into_iter().collect()
        },
        // This file is longer than shipped code may be.
        bad: ("src/h1/date.rs", include_str!("tidy.rs")),
        good: ("src/h1/date.rs", include_str!("tidy/source.rs")),
    });
}

#[test]
fn each_exception_from_the_ceiling_is_needed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, ceiling) in OVER_THE_CEILING {
        let text = std::fs::read_to_string(root.join(path));
        let text = text.unwrap_or_else(|error| panic!("{path} is listed: {error}"));
        let len = lines_of_code(&Source::new((*path).to_owned(), text));
        assert!(
            len > CEILING,
            "{path} has {len} lines: take it off the list"
        );
        assert!(
            *ceiling > CEILING,
            "{path} has the general ceiling: {ceiling}"
        );
    }
}

/// Lines of code that an example may have, in all of its files, without comments and tests: what such a function needs with the
/// frameworks that people know. If one has grown, the API lacks something.
const EXAMPLES: &[(&str, usize)] = &[
    ("chat", 95),
    ("event", 50),
    ("files", 70),
    ("proxy", 60),
    ("todos", 190),
];

#[test]
fn examples_are_no_longer_than_elsewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, ceiling) in EXAMPLES {
        let mut len = 0;
        walk(
            root,
            &root.join("examples").join(name),
            &mut |path, text| {
                if path.ends_with(".rs") {
                    len += lines_of_code(&Source::new(path, text));
                }
            },
        );
        assert!(len > 0, "examples/{name} has no code");
        assert!(
            len <= *ceiling,
            "examples/{name} has {len} lines of code, and at most {ceiling}"
        );
    }
}

#[test]
fn names_have_a_meaning() {
    keep(&Rule {
        why: "this name says nothing about the thing: give it the field's own word",
        applies: |path| path.ends_with(".rs"),
        find: |source| {
            let stem = Path::new(&source.path).file_stem().unwrap_or_default();
            let mut names = declared(&source.code);
            // What the unwinder is to find bears the unwinder's name.
            names.retain(|name| !name.1.starts_with("_Unwind_"));
            names.retain(|name| !NAMED_ELSEWHERE.contains(&(&*source.path, name.1)));
            names.push((0, stem.to_str().unwrap_or_default()));
            let empty = |name: &&(usize, &str)| {
                let parts = parts(name.1);
                let starts_empty = parts.len() > 1 && EMPTY_VERBS.contains(&parts[0].as_str());
                starts_empty
                    || parts
                        .iter()
                        .any(|part| EMPTY_WORDS.contains(&part.as_str()))
            };
            let shown = |(at, name): &(usize, &str)| (*at, (*name).to_owned());
            names.iter().filter(empty).map(shown).collect()
        },
        bad: (
            "src/server/mod.rs",
            "fn get_name() {}\nstruct ConnectionManager;\nlet data = 1;",
        ),
        good: (
            "src/server/mod.rs",
            "fn get() { map.get_mut(1); }\nstruct Handler;\nlet metadata = 1;",
        ),
    });
}

#[test]
fn unsafe_code_stays_on_its_islands() {
    keep(&Rule {
        why: "unsafe code is on the islands that tests/tidy.rs lists; another needs a benchmark in its commit",
        // A yardstick without libc, and what pins processes to processors: measured with, never shipped.
        applies: |path| {
            path.ends_with(".rs") && !ISLANDS.contains(&path) && !path.starts_with("benches/")
        },
        find: |source| words(&source.code, &["unsafe"]),
        bad: ("src/server/mod.rs", "unsafe { f() }"),
        good: ("src/server/mod.rs", "//! unsafe\n#![deny(unsafe_code)]"),
    });
}

#[test]
fn locks_come_from_where_loom_can_take_their_place() {
    keep(&Rule {
        why: "locks come from src/sync/: in the tests of interleavings loom's take their place",
        applies: |path| {
            let own = ["src/sync/", "src/sim/", "src/reactor/interleavings/"];
            path.starts_with("src/") && !own.iter().any(|own| path.starts_with(own))
        },
        find: |source| {
            let mut found = words(&source.shipped, &["std::sync::"]);
            found.retain(|(at, _)| {
                let named = source.shipped[*at..].split(';').next().unwrap_or_default();
                !words(named, &["Mutex", "Condvar", "RwLock", "Barrier"]).is_empty()
            });
            found
        },
        bad: ("src/handler/blocking.rs", "use std::sync::{Arc, Condvar};"),
        good: (
            "src/handler/blocking.rs",
            "use std::sync::{Arc, PoisonError};\nuse crate::sync::Mutex;",
        ),
    });
}

#[test]
fn only_one_file_writes_to_the_standard_streams() {
    keep(&Rule {
        why: "src/output.rs writes lines without waiting for a reader; std's writes would hang the loop",
        applies: |path| {
            let own = [
                "src/output.rs",
                "src/bin/",
                "src/sim/",
                "src/reactor/interleavings/",
            ];
            let is_on_the_loop = path.starts_with("src/") || path.starts_with("tower/src/");
            is_on_the_loop && !own.iter().any(|own| path.starts_with(own))
        },
        find: |source| {
            let named = [
                "io::stdout()",
                "io::stderr()",
                "print!",
                "println!",
                "eprint!",
                "eprintln!",
            ];
            words(&source.shipped, &named)
        },
        bad: ("src/observe.rs", "drop(std::io::stderr().write_all(line));"),
        good: (
            "src/observe.rs",
            "/// println!()\noutput::STDERR.write(line);",
        ),
    });
}

#[test]
fn nothing_is_left_undone() {
    keep(&Rule {
        why: "what is here is finished, and every test runs",
        applies: |path| path.ends_with(".rs"),
        find: |source| {
            words(
                &source.code,
                &["#[ignore", "todo!", "unimplemented!", "dbg!"],
            )
        },
        bad: ("tests/wire.rs", "#[ignore = \"slow\"]"),
        good: ("tests/wire.rs", "self.ignored += 1; // todo!"),
    });
}

#[test]
fn lines_end_where_they_seem_to() {
    keep(&Rule {
        why: "no tabs and no white space at the end of a line",
        applies: |path| {
            let kinds = ["rs", "toml", "yml", "yaml", "sh"];
            kinds.iter().any(|kind| path.ends_with(&format!(".{kind}")))
        },
        find: |source| {
            let spoiled = |line: &str| line.contains('\t') || line.trim_end() != line;
            lines(&source.text, spoiled)
        },
        bad: ("src/lib.rs", "mod h1; \nmod os;"),
        good: ("src/lib.rs", "mod h1;\n\n    mod os;\n"),
    });
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    keep(&Rule {
        why: "a path of one machine, or a registry that only it reaches, has no place in the project",
        applies: |_| true,
        find: |source| {
            lines(&source.text, |line| {
                let paths = [
                    concat!("/ho", "me/"),
                    concat!("/ro", "ot/"),
                    concat!("/wo", "rk/"),
                ];
                let source = line.trim_start().strip_prefix("source = \"registry+");
                let is_elsewhere =
                    |url: &str| url != "https://github.com/rust-lang/crates.io-index\"";
                let hosts = [
                    concat!("replace", "-with"),
                    concat!("spar", "se+http"),
                    concat!("index", "-url"),
                ];
                !words(line, &paths).is_empty()
                    || !words(line, &hosts).is_empty()
                    || source.is_some_and(is_elsewhere)
            })
        },
        bad: ("README.md", concat!("see `/ho", "me/me/project`")),
        good: (
            "README.md",
            "see `/code/bootstrap` and https://example.com/home/",
        ),
    });
}

#[test]
fn every_file_says_what_it_is() {
    keep(&Rule {
        why: "a source file begins with a //! line that says what it is",
        applies: |path| path.ends_with(".rs"),
        find: |source| {
            let found = (0, "no //! in the first line".to_owned());
            Some(found)
                .filter(|_| !source.text.starts_with("//! "))
                .into_iter()
                .collect()
        },
        bad: ("src/lib.rs", "mod h1;\n//! Late."),
        good: ("src/lib.rs", "//! An HTTP server.\nmod h1;"),
    });
}

#[test]
fn tests_are_sentences() {
    keep(&Rule {
        why: "a test's name is a sentence that is true: three words at least, and `test` is not the first",
        applies: |path| path.ends_with(".rs"),
        find: |source| {
            let marks = words(&source.code, &["#[test]"]);
            let name = |(at, _): Finding| {
                declared(&source.code[at..])
                    .first()
                    .map(|name| (at, name.1))
            };
            let names = marks.into_iter().filter_map(name);
            let poor = |(_, name): &(usize, &str)| {
                let parts = parts(name);
                parts.len() < 3 || parts[0] == "test"
            };
            names
                .filter(poor)
                .map(|(at, name)| (at, name.to_owned()))
                .collect()
        },
        bad: ("tests/wire.rs", "#[test]\nfn test_two_things() {}"),
        good: (
            "tests/wire.rs",
            "#[test]\nfn a_chunk_is_whole() {}\nfn test() {}",
        ),
    });
}

#[test]
fn a_struct_has_few_fields_and_at_most_one_bool() {
    keep(&Rule {
        why: "a bool in a struct is a state without a name: at most one, and at most 12 fields",
        applies: is_shipped,
        find: |source| {
            let structs = items(&source.shipped, "struct").into_iter();
            let broken = structs.filter(|(_, _, body)| {
                let fields = body.lines().filter(|line| line.contains(": ")).count();
                fields > 12 || words(body, &[": bool"]).len() > 1
            });
            broken.map(|(at, head, _)| (at, head.to_owned())).collect()
        },
        bad: (
            "src/server/mod.rs",
            "struct S {\n    a: bool,\n    b: bool,\n}",
        ),
        good: (
            "src/server/mod.rs",
            "struct S;\nstruct T {\n    a: bool,\n}\nstruct U {\n    b: bool,\n}",
        ),
    });
}

#[test]
fn no_function_takes_a_bool() {
    keep(&Rule {
        why: "`f(true)` says nothing where it is called: take an enum",
        applies: is_shipped,
        find: |source| {
            let functions = items(&source.shipped, "fn").into_iter();
            // serde's trait fixes the signature of `visit_bool`.
            let takes = functions.filter(|(_, head, _)| {
                !head.contains("fn visit_bool<") && !words(head, &[": bool"]).is_empty()
            });
            takes.map(|(at, head, _)| (at, head.to_owned())).collect()
        },
        bad: ("src/server/mod.rs", "fn f(a: [u8; 2], b: bool) {}"),
        good: (
            "src/server/mod.rs",
            "fn f(a: u8) -> bool {\n    let b: bool = true;\n}\nfn visit_bool<E>(self, value: bool) {}",
        ),
    });
}

/// Shows on its snippets that the rule works, then holds every file to it.
fn keep(rule: &Rule) {
    for ((path, text), is_broken) in [(rule.bad, true), (rule.good, false)] {
        assert!((rule.applies)(path), "the rule does not apply to {path}");
        let found = (rule.find)(&Source::new(path.to_owned(), text.to_owned()));
        assert_eq!(
            !found.is_empty(),
            is_broken,
            "in {text:?} the rule finds {found:?}"
        );
    }
    let mut broken = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    walk(root, root, &mut |path, text| {
        if (rule.applies)(&path) {
            let source = Source::new(path, text);
            for (at, what) in (rule.find)(&source) {
                let line = source.text[..at].matches('\n').count() + 1;
                broken.push(format!("{}:{line}: {what}", source.path));
            }
        }
    });
    assert!(broken.is_empty(), "{}\n{}", rule.why, broken.join("\n"));
}

/// What stands in quotation marks on the lines that are no comments.
fn quoted(text: &str) -> Vec<&str> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .collect()
}

#[test]
fn a_new_function_is_built_with_the_flags_of_bootstrap() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a file of ours");
    let ours = read(".cargo/config.toml");
    let theirs = read("platform/templates/config.toml.txt");
    assert_eq!(quoted(&theirs), quoted(&ours));
    assert!(quoted(&ours).contains(&"relocation-model=static"));
    assert_eq!(
        read("platform/templates/start.ld.txt"),
        read(".cargo/start.ld")
    );
}
