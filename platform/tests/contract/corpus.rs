//! Servers as people write and set them up, each with the findings that it has to get from `check`.

use std::process::{Command, Stdio};

use crate::support::{express_server, interpreter, jetty_classes, server};

/// A server: how it starts, and the findings that it has to get.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) words: Vec<String>,
    pub(crate) options: Vec<String>,
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    pub(crate) expected: &'static [&'static str],
}

impl Case {
    fn new(name: &'static str, words: &[&str], expected: &'static [&'static str]) -> Self {
        Self {
            name,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            options: vec!["--json".to_owned()],
            files: Vec::new(),
            expected,
        }
    }

    fn shell(name: &'static str, script: &str, expected: &'static [&'static str]) -> Self {
        Self::new(name, &["sh", "-c", script], expected)
    }

    /// Adds a file of `tests/servers` to its code.
    fn with(self, name: &'static str) -> Self {
        let content = std::fs::read(server(name)).expect("the server");
        self.with_file(name, content)
    }

    fn with_file(mut self, name: &'static str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name, content.into()));
        self
    }
}

/// Those whose programs this machine has.
pub(crate) fn servers() -> Vec<Case> {
    let languages = [
        python(),
        gunicorn(),
        uvicorn(),
        php(),
        node(),
        express(),
        go(),
        nginx(),
    ];
    languages.into_iter().flatten().flatten().collect()
}

/// Starts of a virtual machine take seconds of processor time, and a check needs seven.
pub(crate) fn slow_servers() -> Vec<Case> {
    let java = interpreter(&["java"])
        .map(|java| Case::new("Java", &[&java, "Demo.java"], &["X1 warn"]).with("Demo.java"));
    java.into_iter()
        .chain(jetty().into_iter().flatten())
        .collect()
}

fn jetty() -> Option<Vec<Case>> {
    let (java, compiler) = (interpreter(&["java"])?, interpreter(&["javac"])?);
    let path = jetty_classes()?;
    let folder = tempfile::tempdir().expect("a folder");
    let built = Command::new(compiler)
        .args(["-cp", &path, "-d"])
        .arg(folder.path())
        .arg(server("Jetty.java"))
        .stdin(Stdio::null())
        .status();
    assert!(
        built.expect("javac runs").success(),
        "Jetty.java does not compile"
    );
    let program = std::fs::read(folder.path().join("Jetty.class")).expect("the program");
    let path = format!(".:{path}");
    let case = |name, expected| {
        Case::new(name, &[&java, "-cp", &path, "Jetty"], expected)
            .with_file("Jetty.class", program.clone())
    };
    let mut set_up = case("Jetty, set up", &[]);
    set_up.options.push("--env=SET_UP=1".to_owned());
    Some(vec![
        // A head of at most 8 KB, no end for what is in flight, and threads that live on without a port.
        case("Jetty", &["P4 fail", "X1 warn", "X2 warn"]),
        set_up,
    ])
}

fn python() -> Option<Vec<Case>> {
    let python = interpreter(&["python3", "python"])?;
    let wrapped = format!("{python} server.py; exit $?");
    let library = format!("exec {python} -m http.server $FC_CUSTOM_LISTEN_PORT");
    Some(vec![
        // No handler for SIGTERM.
        Case::new("threads", &[&python, "server.py"], &["X1 warn"]).with("server.py"),
        Case::shell("a shell around it", &wrapped, &["X1 warn"]).with("server.py"),
        // HTTP/1.0: the connection ends with each response.
        Case::shell("http.server", &library, &["K3 fail", "X1 warn"]),
    ])
}

fn gunicorn() -> Option<Vec<Case>> {
    let gunicorn = interpreter(&["gunicorn"])?;
    let bare = format!("exec {gunicorn} -b 0.0.0.0:$FC_CUSTOM_LISTEN_PORT apps:wsgi");
    let set_up = format!(
        "exec {gunicorn} -b 0.0.0.0:$FC_CUSTOM_LISTEN_PORT -k gthread --threads 32 --keep-alive 86400 \
         --limit-request-line 8190 apps:wsgi"
    );
    Some(vec![
        // One worker, no keep-alive, and a request line of at most 4094 bytes.
        Case::shell("gunicorn", &bare, &["K3 fail", "P4 fail", "S5 fail"]).with("apps.py"),
        Case::shell("gunicorn, set up", &set_up, &[]).with("apps.py"),
    ])
}

fn uvicorn() -> Option<Vec<Case>> {
    let uvicorn = interpreter(&["uvicorn"])?;
    let script = format!(
        "exec {uvicorn} --host 0.0.0.0 --port $FC_CUSTOM_LISTEN_PORT --timeout-keep-alive 86400 --lifespan off \
         apps:asgi"
    );
    Some(vec![Case::shell("uvicorn", &script, &[]).with("apps.py")])
}

fn php() -> Option<Vec<Case>> {
    let php = interpreter(&["php"])?;
    let own = format!("exec {php} -S 0.0.0.0:$FC_CUSTOM_LISTEN_PORT");
    Some(vec![
        Case::new("streams", &[&php, "server.php"], &["X1 warn", "X2 warn"]).with("server.php"),
        Case::shell("php -S", &own, &["K3 fail", "X1 warn"])
            .with_file("index.php", "<?php echo 'hello';"),
    ])
}

fn node() -> Option<Vec<Case>> {
    let node = interpreter(&["node", "nodejs"])?;
    let plain = "require('http').createServer((request, response) => request.resume().on('end', () => response.end('ok')))\
                 .listen(process.env.FC_CUSTOM_LISTEN_PORT)";
    // Node closes a connection that is idle for 5 s; a port that is not a number is a path to it.
    let expected = &["K1 fail", "X1 warn", "X2 warn"];
    let case = Case::new("Node", &[&node, "server.js"], expected);
    Some(vec![case.with_file("server.js", plain)])
}

fn express() -> Option<Vec<Case>> {
    let node = interpreter(&["node", "nodejs"])?;
    let express = express_server()?;
    // Express calls the listener with the error of a port in use, and the process ends as if all were well.
    let expected = &["X1 warn", "X2 warn"];
    Some(vec![Case::new("Express", &[&node, &express], expected)])
}

fn go() -> Option<Vec<Case>> {
    let go = interpreter(&["go"])?;
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("echo");
    let built = Command::new(go)
        .args(["build", "-o"])
        .arg(&program)
        .arg(server("echo.go"))
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .status();
    assert!(
        built.expect("go runs").success(),
        "echo.go does not compile"
    );
    let program = std::fs::read(program).expect("the program");
    Some(vec![
        Case::new("Go", &["./echo"], &[]).with_file("echo", program),
    ])
}

fn nginx() -> Option<Vec<Case>> {
    interpreter(&["nginx"])?;
    let case = Case::new("nginx", &["sh", "nginx.sh"], &[]);
    Some(vec![case.with("nginx.sh").with("nginx.conf")])
}
