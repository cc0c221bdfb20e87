// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// A kind of file system, by the number that statfs(2) gives (linux/magic.h).
struct FileSystem: Hashable, CustomStringConvertible {
    private let number: UInt32

    init(type: Int) {
        number = UInt32(truncatingIfNeeded: type)
        tellsOfChanges = Self.local[number] != nil
    }

    /// Whether inotify(7) hears of all changes: the file system is this machine's alone. Others may be changed by another
    /// machine, by the host of a container or by a program of their own. What is not known is taken for one of those.
    let tellsOfChanges: Bool

    var description: String {
        Self.local[number] ?? Self.others[number] ?? "0x" + String(number, radix: 16)
    }

    private static let local: [UInt32: String] = [
        0xEF53: "ext4", 0x0102_1994: "tmpfs", 0x8584_58F6: "ramfs", 0x9123_683E: "btrfs", 0x5846_5342: "xfs",
        0x2FC1_2FC1: "zfs", 0xF2F5_2010: "f2fs", 0xCA45_1A4E: "bcachefs", 0x794C_7630: "overlayfs",
        0x7371_7368: "squashfs", 0xE0F5_E1E2: "erofs", 0x3153_464A: "jfs", 0x5265_4973: "reiserfs", 0x3434: "nilfs2",
        0x4D44: "vfat", 0x2011_BAB0: "exfat", 0x5346_544E: "ntfs", 0x7366_746E: "ntfs3", 0x9660: "iso9660",
        0x1501_3346: "udf", 0x4244: "hfs", 0x482B: "hfsplus", 0x2405_1905: "ubifs", 0x72B6: "jffs2",
        0xF15F: "ecryptfs", 0x9584_58F6: "hugetlbfs", 0x9FA0: "proc", 0x6265_6572: "sysfs", 0x0027_E0EB: "cgroup",
        0x6367_7270: "cgroup2",
    ]

    private static let others: [UInt32: String] = [
        0x6969: "nfs", 0x517B: "smb", 0xFF53_4D42: "cifs", 0xFE53_4D42: "smb2", 0x6573_5546: "fuse",
        0x0102_1997: "9p", 0x6A65_6A63: "virtiofs", 0x5346_414F: "afs", 0x00C3_6400: "ceph", 0x0BD0_0BD0: "lustre",
        0x786F_4256: "vboxsf", 0x6175_6673: "aufs", 0x0116_1970: "gfs2", 0x7461_636F: "ocfs2",
    ]
}
