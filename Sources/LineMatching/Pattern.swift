// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import CPcre2
import LinuxSys

/// Why a pattern cannot be used.
public struct PatternError: Error, Hashable, Sendable, CustomStringConvertible {
    public let message: String
    /// Where in the pattern, in bytes from its beginning.
    public let offset: Int

    public var description: String { "\(message) (at byte \(offset + 1) of the pattern)" }
}

/// A compiled pattern of PCRE2 (pcre2pattern(3)) for one line of bytes.
///
/// The text need not be UTF-8: a dot is one byte. No line can hold the loop up: a match that takes too many steps, goes
/// too deep or lasts too long is given up as ``Outcome/limit``.
public final class Pattern {
    public enum Outcome: Sendable { case matched, none, limit }

    private let code: OpaquePointer
    private let data: OpaquePointer
    private let context: OpaquePointer

    /// The longest pattern, in bytes.
    public static let lengthMax = 4096
    /// How often PCRE2 may try again from one place of the line (pcre2api(3), "match limit").
    static let stepsMax: UInt32 = 10_000
    /// How many tries may be open at once ("depth limit").
    static let depthMax: UInt32 = 2_000
    /// The memory of those tries, in KiB ("heap limit").
    static let heapMax: UInt32 = 4 << 10
    /// A line that takes longer is given up. The limits above hold for each place in the line, of which it may have
    /// 65,536.
    static let timeMax = Duration.milliseconds(20)
    /// In how many places of the line a match is looked for before the clock is.
    static let stretch = 128
    /// The longest stretch. However fast it went so far, the next places may take all their steps, some 60 µs each.
    static let stretchMax = 256

    /// What is wrong with a pattern, without keeping it.
    public static func problem(in text: String) -> PatternError? {
        do throws(PatternError) {
            _ = try Pattern(text)
            return nil
        } catch {
            return error
        }
    }

    public init(_ text: String) throws(PatternError) {
        let bytes = Array(text.utf8)
        guard bytes.count <= Self.lengthMax else {
            throw PatternError(message: "longer than \(Self.lengthMax) bytes", offset: Self.lengthMax)
        }
        var errorCode: Int32 = 0
        var offset = 0
        // Lines are bytes, whatever the pattern begins with: PCRE2_NEVER_UTF refuses "(*UTF)".
        let options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_USE_OFFSET_LIMIT
        guard let code = pcre2_compile_8(bytes, bytes.count, options, &errorCode, &offset, nil) else {
            throw PatternError(message: Self.message(errorCode), offset: offset)
        }
        // It is only asked whether a line matches: one pair of places is enough.
        guard let data = pcre2_match_data_create_8(1, nil), let context = pcre2_match_context_create_8(nil) else {
            pcre2_code_free_8(code)
            throw PatternError(message: "no memory", offset: 0)
        }
        pcre2_set_match_limit_8(context, Self.stepsMax)
        pcre2_set_depth_limit_8(context, Self.depthMax)
        pcre2_set_heap_limit_8(context, Self.heapMax)
        self.code = code
        self.data = data
        self.context = context
    }

    deinit {
        pcre2_match_context_free_8(context)
        pcre2_match_data_free_8(data)
        pcre2_code_free_8(code)
    }

    /// Looks for the pattern in a line, given without its end.
    public func match(_ line: UnsafeRawBufferPointer) -> Outcome { match(line) { EventLoop.now } }

    /// - Parameter now: The clock, in nanoseconds.
    func match(_ line: UnsafeRawBufferPointer, now: () -> Int64) -> Outcome {
        guard let base = line.baseAddress else {
            // PCRE2 wants a place also for the empty line.
            return withUnsafeBytes(of: UInt8(0)) { match(UnsafeRawBufferPointer(rebasing: $0[..<0]), now: now) }
        }
        let start = base.assumingMemoryBound(to: UInt8.self)
        let began = now()
        var place = 0
        var length = Self.stretch
        while true {
            let last = min(place + length, line.count)
            pcre2_set_offset_limit_8(context, last)
            let result = pcre2_match_8(code, start, line.count, place, 0, data, context)
            if result >= 0 { return .matched }
            guard result == PCRE2_ERROR_NOMATCH else { return .limit }
            // One stretch cannot take too long; on a busy machine its time would be that of others.
            if line.count <= Self.stretch { return .none }
            let elapsed = Duration.nanoseconds(now() - began)
            if elapsed > Self.timeMax { return .limit }
            if last == line.count { return .none }
            // Where it goes fast the clock need not be looked at so often.
            if elapsed < Self.timeMax / 20 { length = min(length * 2, Self.stretchMax) }
            place = last + 1
        }
    }

    private static func message(_ code: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = pcre2_get_error_message_8(code, &buffer, buffer.count)
        guard count > 0 else { return "error \(code)" }
        return String(decoding: buffer[..<Int(count)], as: UTF8.self)
    }
}
