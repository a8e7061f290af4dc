#!/usr/bin/perl
# What the daemon logs: every line is JSON with the same keys, a request has a line when it is sampled, slow or answered 5xx, its ids
# stand in it, its trace goes on to the economy, and nothing that a client sent is ever there: no token, no path, no body.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

# One process a lane, so that it is known whose lines are counted.
my $lanes = join '', map { "${_}_lane { processes = 1 }\n" } qw(read store);
my $s = Battlepass::Stack->new(config => "log_level = debug\nlog { access_sample = 1 slow_ms = 400 }\n$lanes");
my $base = '/v1/seasons/' . $s->season;
my $json = JSON::PP->new->utf8;
my ($trace, $parent) = ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331');
my $moment = qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/;
my $ids = 0;
ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');

sub entries {
    return map { $json->decode($_) } split /\n/, $s->daemon_log;
}

# The lines of a request, once there is one.
sub lines_of {
    my ($id) = @_;
    my @lines;
    $s->wait_until(3, sub { @lines = grep { ($_->{request_id} // '') eq $id && ($_->{event} // '') eq 'request' } entries() });
    return @lines;
}

sub configure {
    my ($text) = @_;
    open my $out, '>', $s->dir . '/conf.d/95-test.conf' or die $!;
    print {$out} $text;
    close $out;
    return;
}

# A request with an id of its own: (its line, its answer). There must be one line.
sub ask {
    my ($method, $path, $headers, $body) = @_;
    my $id = sprintf 'logs-%d-%d', $$, ++$ids;
    my $answer = api($s, $method, $path, { 'X-Request-Id' => $id, %$headers }, $body);
    my @lines = lines_of($id);
    is(scalar @lines, 1, "$method $path: one line") or diag map { $json->encode($_) } @lines;
    return ($lines[0], $answer);
}

sub grant_to {
    my ($player, %headers) = @_;
    return ask(POST => "$base/players/$player/xp-grants", { $s->as('server'), 'Idempotency-Key' => fresh_key(), %headers }, { amount => 50, source => 'match' });
}

my $number = qr/\A\d+\z/;
my @always = (event => 'request', why => 'sampled', level => 'info', time => $moment, pid => $number, turn_requests => $number,
    wait_us => $number, turn_us => $number, total_us => $number, message => T);

sub is_line {
    my ($line, $name, %wanted) = @_;
    my %all = (@always, %wanted);
    return is($line, hash { field $_ => ref $all{$_} eq 'Regexp' ? match $all{$_} : $all{$_} for keys %all; etc }, $name);
}

subtest 'every line' => sub {
    my @lines = split /\n/, $s->daemon_log;
    ok(@lines > 5, 'there are some');
    for my $line (@lines) {
        my $entry = eval { $json->decode($line) };
        my $good = ref $entry eq 'HASH' && $entry->{time} =~ $moment && $entry->{level} =~ /^(?:error|warning|info|debug)$/
            && $entry->{role} =~ /^(?:master|read|store|purchase|admin|steward|courier)$/ && $entry->{pid} =~ $number && length $entry->{message};
        ok($good, 'JSON, with the keys that all have') or diag $line;
        like($line, qr/^\{"time":"[^"]+","level":"\w+","role":"\w+","pid":\d+,"message":"/, 'in this order');
    }
};

subtest 'a read, from the database and from Redis' => sub {
    my $player = $s->fresh_player;
    my ($line, $answer) = ask(GET => "$base/players/$player/progress", { $s->as('server') });
    is(timing($answer), 'store', 'a miss');
    is_line($line, 'by the lane that answered it', role => 'store', method => 'GET', route => '/v1/seasons/{season}/players/{player}/progress',
        status => 200, source => 'store', decode_us => $number, work_us => $number, answer_us => $number);
    is($line->{decode_us} + $line->{work_us} + $line->{answer_us}, $line->{turn_us}, 'the parts come to the whole');
    is($line->{wait_us} + $line->{turn_us}, $line->{total_us}, 'with the waiting');
    ok($line->{total_us} > 0 && $line->{total_us} < 10_000_000, 'a time that can be');
    ok(!exists $line->{trace_id} && !exists $line->{error}, 'nothing that it has not');

    ok($s->wait_until(2, sub { from_cache(progress($s, $player)) }), 'it is filled');
    ($line, $answer) = ask(GET => "$base/players/$player/progress", { $s->as('server'), traceparent => "00-$trace-$parent-01" });
    is(timing($answer), 'cache', 'a hit');
    is_line($line, 'by the read lane', role => 'read', status => 200, source => 'cache', trace_id => $trace);
    ok(!exists $line->{work_us}, 'which spares itself the clock');
    is($answer->{headers}{traceparent}, "00-$trace-$parent-01", 'the client gets its own back');
    ($line) = ask(HEAD => "$base/players/$player/progress", { $s->as('server') });
    is_line($line, 'HEAD', method => 'HEAD', role => 'read');
};

subtest 'a refusal' => sub {
    my ($line) = ask(GET => "$base/players/p-1/progress", {});
    is_line($line, '401', status => 401, error => 'token_missing', source => 'none');
    ($line) = ask(GET => '/v1/nowhere', { $s->as('server') });
    is_line($line, '404', status => 404, error => 'no_such_route', route => 'none');
    ($line) = ask(DELETE => '/v1/seasons', { $s->as('server') });
    is_line($line, '405', status => 405, method => 'DELETE', error => 'method_not_allowed');
    for my $wrong ("00-$trace-$parent", "01-$trace-$parent-01", '00-' . uc($trace) . "-$parent-01", "00-$trace-$parent-01, 00-$trace-$parent-01",
        '00-' . '0' x 32 . "-$parent-01", qq(00-$trace-$parent-0"), 'x' x 2000) {
        my $answer;
        ($line, $answer) = ask(GET => '/v1/seasons', { $s->as('server'), traceparent => $wrong });
        is([ $answer->{status}, $line->{trace_id}, $answer->{headers}{traceparent} ], [ 200, undef, undef ], 'no trace: ' . substr $wrong, 0, 80);
    }
};

subtest 'slow' => sub {
    my $player = $s->fresh_player;
    grant_to($player);
    my ($lock) = $s->db;
    $lock->begin_work;
    $lock->selectall_arrayref('SELECT xp FROM progress WHERE player_id = ? FOR UPDATE', undef, $player);
    my $child = fork // die "fork: $!";
    if ($child == 0) {
        api($s, 'POST', "$base/players/$player/xp-grants", { $s->as('server'), 'Idempotency-Key' => fresh_key(), 'X-Request-Id' => 'slow-one' }, { amount => 50, source => 'match' });
        POSIX::_exit(0);
    }
    sleep 0.7;
    $lock->rollback;
    waitpid $child, 0;
    my ($line) = lines_of('slow-one');
    is_line($line, 'a warning', why => 'slow', level => 'warning', role => 'store', status => 201);
    ok($line->{work_us} >= 400_000 && $line->{work_us} <= $line->{total_us}, 'it says where the time went');
    is(scalar(grep { ($_->{why} // '') eq 'slow' && $_->{total_us} < 400_000 } entries()), 0, 'nothing else is called slow');
};

subtest 'the trace goes on to the economy' => sub {
    my $season = 'traced';
    publish_season($s, small_season($season,
        passes => [ { pass => 'free', free => JSON::PP::true }, { pass => 'gold', price => { currency => 'gems', amount => 950 } } ],
        rewards => [ { reward => 'f1', tier => 1, pass => 'free', kind => 'item', item => 'x', quantity => 1 } ]));
    my $player = $s->fresh_player;
    my $path = "/v1/seasons/$season/players/$player";
    my $came = sub { my ($key) = @_; return grep { $_->{idempotency_key} eq $key } @{ $s->economy(GET => '/sandbox/calls')->{json}{calls} } };
    my $buy = sub { my (%headers) = @_; return ask(POST => "$path/purchases", { $s->as(player => $player), 'Idempotency-Key' => fresh_key(), %headers }, { pass => 'gold' }) };

    my ($line, $answer) = $buy->(traceparent => "00-$trace-$parent-01");
    is($answer->{status}, 201, 'bought') or diag $answer->{body};
    is_line($line, 'its line', role => 'purchase', status => 201, trace_id => $trace, later_us => $number);
    is($line->{decode_us} + $line->{work_us} + $line->{later_us} + $line->{answer_us}, $line->{turn_us}, 'the parts come to the whole');
    my ($call) = $came->($answer->{json}{purchase});
    is($call->{path}, '/v1/debits', 'the debit');
    like($call->{traceparent}, qr/\A00-$trace-(?!$parent)[0-9a-f]{16}-01\z/, 'of the same trace, with a parent of its own');

    $player = $s->fresh_player;
    $path = "/v1/seasons/$season/players/$player";
    (undef, $answer) = $buy->(traceparent => "00-$trace-$parent-zz");
    ($call) = $came->($answer->{json}{purchase});
    like($call->{traceparent}, qr/\A00-(?!$trace)[0-9a-f]{32}-[0-9a-f]{16}-00\z/, 'where none is given a new one');

    api($s, 'POST', "$path/xp-grants", { $s->as('server'), 'Idempotency-Key' => fresh_key() }, { amount => 100, source => 'match' });
    (undef, $answer) = ask(POST => "$path/claims", { $s->as(player => $player), 'Idempotency-Key' => fresh_key(), traceparent => "00-$trace-$parent-01" }, { all => JSON::PP::true });
    is(statuses($answer), { claimed => 1 }, 'claimed');
    my $delivery;
    $s->wait_until(10, sub { ($delivery) = grep { $_->{path} eq '/v1/deliveries' } @{ $s->economy(GET => '/sandbox/calls')->{json}{calls} } });
    like($delivery->{traceparent}, qr/\A00-(?!$trace)[0-9a-f]{32}-[0-9a-f]{16}-00\z/, 'the courier begins a trace');
};

subtest 'what goes wrong in a request that is alone says which' => sub {
    my $player = $s->fresh_player;
    my %headers = ($s->as('server'), 'Idempotency-Key' => fresh_key());
    my (undef, $first) = ask(POST => "$base/players/$player/xp-grants", \%headers, { amount => 50, source => 'match' });
    my ($line, $again) = ask(POST => "$base/players/$player/xp-grants", \%headers, { amount => 50, source => 'match' });
    is($again->{body}, $first->{body}, 'a replay');
    my @lines = grep { ($_->{request_id} // '') eq $line->{request_id} && !$_->{event} } entries();
    ok(@lines > 0, 'the database has refused the row, which is said at debug') or diag $s->log_text;
    is([ grep { $_->{role} ne 'store' || $_->{level} ne 'debug' } @lines ], [], 'by the lane');
    is([ grep { $_->{request_id} && ($_->{role} eq 'steward' || $_->{role} eq 'courier') } entries() ], [], 'never where there is no request');
};

subtest 'hostile requests' => sub {
    my $bad = qq(","forged":"yes"\\\x01\xff\x7f\\n{}[]);
    my $forged = $s->token(server => 'forged', ttl => -10);
    for my $path ('/v1/"%22%0a{"forged":1}', "/v1/seasons?access_token=$forged", '/v1/' . '%ff' x 200, "$base/players/%22forged%22/progress", "/v1/seasons/forged%0Aforged") {
        ask(GET => $path, { $s->as('server') });
    }
    for my $header (qw(traceparent Accept-Language If-None-Match Cookie User-Agent Idempotency-Key)) {
        ask(GET => '/v1/seasons', { $s->as('server'), $header => "x$bad" });
    }
    for my $id ($bad, 'x' x 129, "a b", qq("}), '') {
        is(api($s, GET => '/v1/seasons', { $s->as('server'), 'X-Request-Id' => $id })->{status}, 200, 'a bad request id');
    }
    for my $authorization ("Bearer $forged", "Bearer forged$bad", "Basic forged$bad", "Bearer $forged.forged") {
        my (undef, $answer) = ask(GET => '/v1/seasons', { Authorization => $authorization });
        is($answer->{status}, 401, 'refused');
    }
    for my $body ('{"forged', qq({"amount":"forged","source":"forged","forged":"\x00"}), '"forged"' x 1000, "\xff" x 100) {
        ask(POST => "$base/players/p-1/xp-grants", { $s->as('server'), 'Idempotency-Key' => fresh_key() }, $body);
    }
    my $log = $s->daemon_log;
    is([ grep { !eval { $json->decode($_) } } split /\n/, $log ], [], 'every line is JSON');
    unlike($log, qr/forged/, 'nothing of it is in the log');
    is([ grep { length > 4096 } split /^/, $log ], [], 'nor a line longer than the longest');
};

subtest 'an outage' => sub {
    my $mark = length $s->daemon_log;
    $s->kill('mariadb');
    my %status;
    $status{ grant($s, 'outage-1', 50)->{status} }++ for 1 .. 60;
    is(\%status, { 503 => 60 }, 'all are refused');
    my ($lines, $suppressed, @all);
    my $counted = $s->wait_until(5, sub {
        @all = grep { ($_->{why} // '') eq 'unavailable' && $_->{role} eq 'store' } map { $json->decode($_) } split /\n/, substr $s->daemon_log, $mark;
        ($lines, $suppressed) = (scalar(grep { $_->{event} eq 'request' } @all), 0);
        $suppressed += $_->{suppressed} // 0 for @all;
        return $lines + $suppressed == 60;
    });
    ok($counted, 'each has a line or is counted') or diag "$lines lines, $suppressed suppressed";
    ok($lines >= 10 && $lines < 60, "not all have a line ($lines)");
    is([ grep { $_->{event} eq 'request' && ($_->{level} ne 'warning' || $_->{status} != 503 || $_->{error} !~ /^store_/) } @all ], [], 'warnings, with the reason');
    $s->start('mariadb');
    ok($s->wait_until(10, sub { grant($s, 'outage-1', 50)->{status} == 201 }), 'it is over');
};

subtest 'sampling, and HUP' => sub {
    configure("log { access_sample = 10 slow_ms = 0 }\n");
    my %old = %{ $s->workers };
    $s->reload;
    ok($s->wait_until(10, sub { !grep { $old{$_} } keys %{ $s->workers } }), 'reloaded');
    my $mark = length $s->daemon_log;
    is(api($s, GET => '/v1/seasons', { $s->as('server') })->{status}, 200, 'asked') for 1 .. 40;
    my $sampled = sub { scalar grep { ($_->{why} // '') eq 'sampled' && $_->{route} eq '/v1/seasons' } map { $json->decode($_) } split /\n/, substr $s->daemon_log, $mark };
    $s->wait_until(3, sub { $sampled->() >= 4 });
    is($sampled->(), 4, 'one in ten');

    configure("log { access_sample = 0 slow_ms = 0 }\n");
    %old = %{ $s->workers };
    $s->reload;
    ok($s->wait_until(10, sub { !grep { $old{$_} } keys %{ $s->workers } }), 'reloaded');
    $mark = length $s->daemon_log;
    is(api($s, GET => '/v1/seasons', { $s->as('server') })->{status}, 200, 'asked') for 1 .. 40;
    sleep 0.2;
    is($sampled->(), 0, 'none');
};

subtest 'no token is in the log' => sub {
    my @tokens = grep { length > 40 } (values %{ $s->{tokens} }, map { $s->env->{$_} } grep { /_TOKEN$/ } keys %{ $s->env });
    ok(@tokens > 5, 'there were tokens');
    my $log = $s->daemon_log;
    # Neither a whole one nor its signature.
    is([ grep { index($log, $_) >= 0 } map { ($_, /\.([^.]+)$/) } @tokens ], [], 'none of them');
    is([ grep { !eval { $json->decode($_) } } split /\n/, $log ], [], 'and every line is JSON');
};

subtest 'text, where it is asked for' => sub {
    configure("log { format = \"text\" access_sample = 1 }\n");
    $s->reload;
    ok($s->wait_until(5, sub { $s->daemon_log =~ /"log\.format has changed: it takes a restart"/ }), 'HUP does not change the form');
    $s->stop('battlepassd');
    my $mark = length $s->daemon_log;
    $s->start('battlepassd');
    ok($s->wait_until(10, sub { eval { api($s, GET => '/v1/seasons', { $s->as('server'), 'X-Request-Id' => 'text-1' })->{status} == 200 } }), 'it runs');
    my $log = substr $s->daemon_log, $mark;
    like($log, qr/^\S+Z info master\[\d+\]: started$/m, 'a line');
    like($log, qr{^\S+Z info store\[\d+\]: GET /v1/seasons: 200 in \d+ us event=request why=sampled method=GET route=/v1/seasons status=200 .* request_id=text-1$}m, 'a line with fields');
    unlike($log, qr/^\{/m, 'and no other');
};

done_testing;
