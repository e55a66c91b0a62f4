;; Asks for hosts that are not on its list, of this machine and of the metadata service, in every notation; traps
;; unless each is refused at once or denied.
;;@frame event
;;@use imports/http
;;@core
(data (i32.const 1024) "127.0.0.1:8090")
(data (i32.const 1038) "169.254.169.254")
(data (i32.const 1053) "2130706433")
(data (i32.const 1063) "0x7f.0.0.1")
(data (i32.const 1073) "[::ffff:127.0.0.1]:80")
(data (i32.const 1094) "api.example.com@127.0.0.1")
(data (i32.const 1119) "api.example.com:8443")
(func $denied (param $at i32) (param $bytes i32)
  (local $request i32)
  (local.set $request (call $request (call $fields)))
  (if (call $authority (local.get $request) (i32.const 1) (local.get $at) (local.get $bytes)) (then (return)))
  (call $handle_request (local.get $request) (i32.const 0) (i32.const 0) (i32.const 3072))
  ;; An error, and the sixteenth of its cases.
  (if (i32.ne (i32.load8_u (i32.const 3072)) (i32.const 1)) (then unreachable))
  (if (i32.ne (i32.load8_u (i32.const 3080)) (i32.const 15)) (then unreachable)))
;;@handle
(call $denied (i32.const 1024) (i32.const 14))
(call $denied (i32.const 1038) (i32.const 15))
(call $denied (i32.const 1053) (i32.const 10))
(call $denied (i32.const 1063) (i32.const 10))
(call $denied (i32.const 1073) (i32.const 21))
(call $denied (i32.const 1094) (i32.const 25))
(call $denied (i32.const 1119) (i32.const 20))
