//! The keys of a function in a deployment file, and what becomes of them here.
//!
//! Source: the JSON schema of component fc3, in the public repository devsapp/fc3 as of May 2026, and, for
//! component fc, the keys that its documentation lists.

/// The keys of fc3's `props` that `coldstart` honors.
pub(crate) const HONORED: [&str; 13] = [
    // 2.0's key, which some files keep.
    "caPort",
    "code",
    "customContainerConfig",
    "customRuntimeConfig",
    "environmentVariables",
    "functionName",
    "handler",
    "instanceConcurrency",
    "instanceLifecycleConfig",
    "memorySize",
    "region",
    "runtime",
    "timeout",
];

/// Keys whose absence here a function notices: its files or devices are missing.
pub(crate) const MISSED: [(&str, &str); 4] = [
    ("layers", "their files are not in /opt"),
    ("nasConfig", "its mount points are not here"),
    ("ossMountConfig", "its mount points are not here"),
    ("gpuConfig", "there is no such device here"),
];

/// Keys without effect on one local instance.
pub(crate) const WITHOUT_EFFECT: [&str; 25] = [
    "annotations",
    "asyncInvokeConfig",
    "concurrencyConfig",
    "cpu",
    "customDNS",
    "customDomain",
    "description",
    "diskSize",
    "enableLongLiving",
    "endpoint",
    "instanceIsolationMode",
    "internetAccess",
    "logConfig",
    "provisionConfig",
    "resourceGroupId",
    "role",
    "scalingConfig",
    "sessionAffinity",
    "sessionAffinityConfig",
    "supplement",
    "tags",
    "tracingConfig",
    "triggers",
    "vpcBinding",
    "vpcConfig",
];

/// The keys of component fc (2.0) below `function` that are honored. Its other keys all count as without effect.
pub(crate) const HONORED_2: [&str; 16] = [
    "caPort",
    "code",
    "codeUri",
    "customContainerConfig",
    "customHealthCheckConfig",
    "customRuntimeConfig",
    "environmentVariables",
    "handler",
    "initializationTimeout",
    "initializer",
    "instanceConcurrency",
    "instanceLifecycleConfig",
    "memorySize",
    "name",
    "runtime",
    "timeout",
];

/// The nested keys that are understood; the others are named as having no effect.
pub(crate) const NESTED: [(&str, &[&str]); 5] = [
    (
        "customRuntimeConfig",
        &["args", "command", "healthCheckConfig", "port"],
    ),
    (
        "customRuntimeConfig.healthCheckConfig",
        &[
            "failureThreshold",
            "httpGetUrl",
            "initialDelaySeconds",
            "periodSeconds",
            "timeoutSeconds",
        ],
    ),
    ("instanceLifecycleConfig", &["initializer", "preStop"]),
    (
        "instanceLifecycleConfig.initializer",
        &["handler", "timeout"],
    ),
    ("instanceLifecycleConfig.preStop", &["handler", "timeout"]),
];
