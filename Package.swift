// swift-tools-version: 6.2
// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import PackageDescription

/// Settings of every Swift target: warnings are errors, existential types are spelled `any`.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
]

let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let argumentParser = Target.Dependency.product(
    name: "ArgumentParser", package: "swift-argument-parser")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")

/// The commit that is built, with `+` if files differ from it. `make` says it, for SwiftPM keeps what it once read of this
/// file, and what git says may be older by then.
let commit =
    Context.environment["GASCLAWD_COMMIT"]
    ?? Context.gitInformation.map { $0.currentCommit + ($0.hasUncommittedChanges ? "+" : "") } ?? ""

/// A library target and the test target that belongs to it.
func module(
    _ name: String, _ dependencies: [Target.Dependency] = [],
    testedWith extra: [Target.Dependency] = [], resources: [Resource] = []
) -> [Target] {
    [
        .target(name: name, dependencies: dependencies, swiftSettings: strict),
        .testTarget(
            name: "\(name)Tests", dependencies: [.init(stringLiteral: name)] + dependencies + extra,
            resources: resources, swiftSettings: strict),
    ]
}

let package = Package(
    name: "gasclawd",
    products: [.executable(name: "gasclawd", targets: ["gasclawd"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    ],
    targets: [
        .systemLibrary(
            name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
        .systemLibrary(name: "CPcre2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
        .target(name: "CLinuxSys"),
        .target(name: "CBuild", cSettings: [.define("GASCLAWD_COMMIT", to: "\"\(commit)\"")]),
        .target(
            name: "CToml",
            cxxSettings: [.define("TOML_EXCEPTIONS", to: "0"), .define("TOML_HEADER_ONLY", to: "1")]),
    ]
        // Values and text
        + module("Timekeeping")
        + module("JSON")
        + module("TOML", ["CToml"])
        // The kernel
        + module("LinuxSys", ["CLinuxSys", system, "Timekeeping"], testedWith: ["Fixtures"])
        + module("Secrets", ["CLinuxSys"])
        + module("SystemdKit", ["CSystemd", "LinuxSys", "Timekeeping", logging, system], testedWith: ["Fixtures"])
        + module(
            "FileWatching", ["LinuxSys", "CLinuxSys", "Timekeeping", system], testedWith: ["Fixtures", "watchscript"],
            resources: [.copy("Scripts")])
        + module("LogFollowing", ["LinuxSys", "JSON", system], testedWith: ["Fixtures"])
        + module("LineMatching", ["CPcre2", "LinuxSys"])
        // What decides: pure
        + module("KeyPool", ["JSON", "Secrets", "Timekeeping", "TOML"])
        + module(
            "GasTown", ["JSON", "LinuxSys", "Secrets", "TOML", "Timekeeping", system], resources: [.copy("Rows")])
        + module("ControlAPI", ["JSON", "LinuxSys", "Timekeeping", system], testedWith: ["Fixtures"])
        + module(
            "Configuration", ["ControlAPI", "LineMatching", "TOML", "LinuxSys", "Timekeeping", system],
            testedWith: ["Fixtures"])
        + module("Supervision", ["JSON", "Timekeeping"])
        + module("Controller", ["ControlAPI", "GasTown", "JSON", "KeyPool", "Secrets", "Timekeeping"])
        + module("Alerts", ["ControlAPI", "JSON", "Timekeeping"])
        // What acts
        + module(
            "ControlServer", ["ControlAPI", "JSON", "Timekeeping", nioCore, nioPosix, nioHTTP1],
            testedWith: ["Fixtures", "LinuxSys", system])
        + module(
            "Launcher", ["ControlAPI", "GasTown", "JSON", "LinuxSys", "Timekeeping", system],
            testedWith: ["Fixtures"])
        + module(
            "Daemon",
            [
                "Alerts", "Configuration", "ControlAPI", "ControlServer", "Controller", "FileWatching", "GasTown",
                "JSON", "KeyPool", "LineMatching", "LinuxSys", "LogFollowing", "Secrets", "Supervision", "SystemdKit",
                "Timekeeping", logging, system,
            ], testedWith: ["Fixtures", "townsim"])
        + module(
            "Doctor",
            [
                "Configuration", "ControlAPI", "Daemon", "GasTown", "JSON", "KeyPool", "LinuxSys", "Secrets",
                "Timekeeping", system,
            ], testedWith: ["Fixtures"])
        + [
            .executableTarget(
                name: "gasclawd",
                dependencies: [
                    "CBuild", "Configuration", "ControlAPI", "Daemon", "Doctor", "GasTown", "JSON", "KeyPool",
                    "Launcher", "LinuxSys", "Secrets", "SystemdKit", "Timekeeping", argumentParser, logging, system,
                ], swiftSettings: strict),
            .executableTarget(
                name: "townsim", dependencies: ["JSON", "LinuxSys", "Secrets", system], swiftSettings: strict),
            // What several test targets need.
            .target(
                name: "Fixtures", dependencies: ["LinuxSys", system], path: "Tests/Fixtures", swiftSettings: strict),
            // Runs the scripts of FileWatchingTests, each in a process of its own.
            .executableTarget(
                name: "watchscript", dependencies: ["FileWatching", "Fixtures", "LinuxSys", system],
                path: "Tests/WatchScript",
                swiftSettings: strict),
            .executableTarget(
                name: "Benchmarks",
                dependencies: [
                    "ControlAPI", "FileWatching", "GasTown", "JSON", "LineMatching", "LinuxSys", "LogFollowing",
                    "Timekeeping", system,
                ],
                path: "Benchmarks/Sources", swiftSettings: strict),
            .target(
                name: "Simulator",
                dependencies: [
                    "ControlAPI", "Controller", "GasTown", "JSON", "KeyPool", "Secrets", "Supervision", "Timekeeping",
                ],
                path: "Tests/Simulator", swiftSettings: strict),
            .executableTarget(
                name: "simulate", dependencies: ["Simulator", "KeyPool"], path: "Tests/Simulate", swiftSettings: strict),
            .testTarget(
                name: "SimulationTests", dependencies: ["Simulator", "KeyPool", "Supervision"], swiftSettings: strict),
            .testTarget(
                name: "TownsimTests", dependencies: ["Fixtures", "JSON", "LinuxSys", system, "townsim"],
                swiftSettings: strict),
            .testTarget(
                name: "EndToEndTests",
                dependencies: ["ControlAPI", "Fixtures", "JSON", "LinuxSys", system, "gasclawd", "townsim"],
                swiftSettings: strict),
        ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
