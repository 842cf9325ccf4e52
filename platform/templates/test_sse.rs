    let answer = server.call("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(answer.contains("transfer-encoding: chunked") || answer.contains("Transfer-Encoding: chunked"), "{answer}");
    assert_eq!(answer.matches("data: ").count(), 5, "{answer}");
