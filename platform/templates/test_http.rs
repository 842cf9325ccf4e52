    let answer = server.call("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("hello from {{name}}\n"), "{answer}");
    let answer = server.call("GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
