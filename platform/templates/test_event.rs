    let event = "POST /invoke HTTP/1.1\r\nHost: test\r\nx-fc-control-path: /invoke\r\nContent-Length: 7\r\n\r\none two";
    let answer = server.call(event);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("{\"words\":2}\n"), "{answer}");
    let empty = "POST /invoke HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(server.call(empty).ends_with("{\"words\":0}\n"), "an empty event");
