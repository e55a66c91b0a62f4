;; Writes a pattern into 62 MiB of memory, its table and its stack, and then answers (w), traps (t) or loops
;; (l); or searches for what it did not write itself (s), and rejects with what it found: m, t, h for memory, table and
;; what the host put into its memory.
;;@frame event
;;@use imports/process
;;@core
(table $table 10000 funcref)
(elem declare func $deeper)
(global $pattern i64 (i64.const 0x7ee1c0de5afef00d))
(data (i32.const 1024) "found ---")

;; Fills the stack with the pattern, and goes on from its end by the letter.
(func $deeper (param $letter i32) (param $depth i32) (result i64)
;;@times 32 (i64.load (i32.add (i32.const 4096) (i32.mul (i32.const 8) (i32.const {n}))))
  (if (i32.eqz (local.get $depth))
    (then
      (if (i32.eq (local.get $letter) (i32.const 0x74)) (then unreachable))
      (if (i32.eq (local.get $letter) (i32.const 0x6c)) (then (loop $for_ever (br $for_ever))))))
  (if (result i64) (i32.eqz (local.get $depth))
    (then (i64.const 0))
    (else (call $deeper (local.get $letter) (i32.sub (local.get $depth) (i32.const 1)))))
;;@times 32 (i64.add)
)

(func $take_all (if (i32.lt_u (memory.size) (i32.const 990)) (then (drop (memory.grow (i32.const 988))))))
(func $end (result i32) (i32.mul (memory.size) (i32.const 65536)))

(func $write (param $letter i32) (local $at i32) (local $end i32)
  (call $take_all)
  (local.set $end (call $end))
  (local.set $at (i32.const 4096))
  (loop $store
    (i64.store (local.get $at) (global.get $pattern))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    ;; The second page is the event's.
    (if (i32.eq (local.get $at) (i32.const 65536)) (then (local.set $at (i32.const 131072))))
    (br_if $store (i32.lt_u (local.get $at) (local.get $end))))
  (table.fill $table (i32.const 0) (ref.func $deeper) (i32.const 10000))
  (drop (call $deeper (local.get $letter) (i32.const 1000))))

;; Whether a word between two addresses is not zero.
(func $is_dirty (param $at i32) (param $end i32) (result i32)
  (loop $load
    (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (return (i32.const 1))))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $load (i32.lt_u (local.get $at) (local.get $end))))
  (i32.const 0))

(func $has_pattern (param $at i32) (param $end i32) (result i32)
  (loop $load
    (if (i64.eq (i64.load (local.get $at)) (global.get $pattern)) (then (return (i32.const 1))))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (br_if $load (i32.lt_u (local.get $at) (local.get $end))))
  (i32.const 0))

(func $table_is_dirty (result i32) (local $n i32)
  (loop $get
    (if (i32.eqz (ref.is_null (table.get $table (local.get $n)))) (then (return (i32.const 1))))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $get (i32.lt_u (local.get $n) (i32.const 10000))))
  (i32.const 0))

(func $search (result i32) (local $found i32)
  (call $environment (i32.const 3072))
  (call $arguments (i32.const 3088))
  (call $directory (i32.const 3104))
  (call $take_all)
  (if (i32.or (call $is_dirty (i32.const 4096) (i32.const 65536)) (call $is_dirty (i32.const 131072) (call $end)))
    (then (local.set $found (i32.const 1)) (i32.store8 (i32.const 1030) (i32.const 0x6d))))
  (if (call $table_is_dirty)
    (then (local.set $found (i32.const 1)) (i32.store8 (i32.const 1031) (i32.const 0x74))))
  (if (i32.or (call $has_pattern (i32.const 1040) (i32.const 4088)) (call $has_pattern (i32.const 65536) (i32.const 131064)))
    (then (local.set $found (i32.const 1)) (i32.store8 (i32.const 1032) (i32.const 0x68))))
  (local.get $found))
;;@local
(local $letter i32)
;;@handle
(local.set $letter (call $letter (local.get $event)))
(if (i32.eq (local.get $letter) (i32.const 0x73))
  (then (if (call $search) (then (return (call $reject (i32.const 1024) (i32.const 9))))))
  (else (call $write (local.get $letter))))
