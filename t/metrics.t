#!/usr/bin/perl
# /metrics: Prometheus and promtool accept all of it, the manual names each metric as it is, and what requests do is counted under
# their route, status and source.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use IPC::Open3;

my $s = Battlepass::Stack->new;
my $season = $s->season;
my $progress = '/v1/seasons/{season}/players/{player}/progress';

# status, and what it says.
sub promtool {
    my ($input, @arguments) = @_;
    my $pid = open3(my $in, my $out, undef, 'promtool', @arguments);
    print {$in} $input;
    close $in;
    my $said = do { local $/; <$out> };
    waitpid $pid, 0;
    return ($? >> 8, $said);
}

# name => [type, help].
sub families {
    my ($text) = @_;
    my %help = $text =~ /^# HELP (\S+) (.*)$/mg;
    my %type = $text =~ /^# TYPE (\S+) (\S+)$/mg;
    return { map { $_ => [ $type{$_}, $help{$_} ] } keys %help };
}

# From the manual: name => [type, labels, help].
sub manual {
    open my $in, '<', 'docs/metrics.md' or die "docs/metrics.md: $!";
    my $text = do { local $/; <$in> };
    my %rows;
    $rows{$1} = [ $2, join(',', sort split /, /, $3), $4 ] while $text =~ /^\| `(\w+)` \| (\w+) \| ([^|]*?) ?\| (.*) \|$/mg;
    return \%rows;
}

# Which labels samples of each family have, 'le' aside.
sub labels_of {
    my ($text) = @_;
    my %labels;
    while ($text =~ /^(battlepass_\w+?)(?:_bucket)?\{(.*)\} /mg) {
        my ($name, $has) = ($1, $2);
        $name =~ s/_(?:sum|count)$//;
        $labels{$name} = join ',', sort grep { $_ ne 'le' } $has =~ /(\w+)="/g;
    }
    return \%labels;
}

sub counted { my (%labels) = @_; return $s->metric_sum('battlepass_requests_total', like_labels(%labels)) }
sub timed { my (%labels) = @_; return $s->metric_sum('battlepass_request_duration_seconds_count', like_labels(%labels)) }
sub like_labels { my (%labels) = @_; my $all = join '', map { "(?=.*$_=\"\Q$labels{$_}\E\")" } sort keys %labels; return qr/^$all/ }

await_cache($s);
my $player = $s->fresh_player;
grant($s, $player, 40);

subtest 'Prometheus reads it' => sub {
    my $answer = $s->get_internal('/metrics');
    is($answer->{status}, 200, 'there');
    is($answer->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', 'the text format');
    is([ promtool($answer->{body}, 'check', 'metrics') ], [ 0, '' ], 'promtool has nothing to say');
    my ($status) = promtool($answer->{body} =~ s/^# HELP battlepass_requests_total.*\n//mr, 'check', 'metrics');
    isnt($status, 0, 'it would say so where a help is missing');
};

subtest 'OpenMetrics, for who asks for it' => sub {
    my $answer = $s->request_at($s->metrics_url, 'GET', '/metrics', { Accept => 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' });
    is($answer->{headers}{'content-type'}, 'application/openmetrics-text; version=1.0.0; charset=utf-8', 'said to be');
    like($answer->{body}, qr/^# TYPE battlepass_requests counter$/m, 'a family of counters has the bare name');
    like($answer->{body}, qr/^battlepass_requests_total\{/m, 'and its samples _total');
    like($answer->{body}, qr/^# UNIT battlepass_request_duration_seconds seconds$/m, 'a unit');
    like($answer->{body}, qr/\n# EOF\n\z/, 'the end');
};

subtest 'the manual' => sub {
    my $text = $s->get_internal('/metrics')->{body};
    my ($families, $manual, $labels) = (families($text), manual(), labels_of($text));
    is([ sort keys %$manual ], [ sort keys %$families ], 'names what there is, and nothing else');
    is({ map { $_ => [ @{ $manual->{$_} }[ 0, 2 ] ] } keys %$manual }, $families, 'type and meaning are the same');
    is($labels->{$_}, $manual->{$_}[1], "labels of $_") for sort keys %$labels;
    cmp_ok(scalar keys %$labels, '>', 4, 'and there were samples with labels');
};

subtest 'reads, by route, status and source' => sub {
    my $reader = $s->fresh_player;
    my @of = (method => 'GET', route => $progress);
    my $before = counted(@of, status => 200);
    my %took = map { $_ => timed(@of, source => $_) } qw(cache store);
    ok(!from_cache(progress($s, $reader)), 'a miss');
    $s->wait_until(2, sub { $s->redis('GET', cache_key($s, $reader)) });
    ok(from_cache(progress($s, $reader)), 'a hit');
    my $etag = progress($s, $reader)->{headers}{etag};
    is(counted(@of, status => 200) - $before, 3, 'three answers, though the miss came through two lanes');
    is([ map { timed(@of, source => $_) - $took{$_} } qw(cache store) ], [ 2, 1 ], 'two from the cache, one from the store');
    my $unchanged = counted(@of, status => 304);
    api($s, 'GET', "/v1/seasons/$season/players/me/progress", { $s->as(player => $reader), 'If-None-Match' => $etag });
    is(counted(@of, status => 304) - $unchanged, 1, '304');
    my $none = counted(route => 'none', status => 404);
    api($s, 'GET', "/v1/nothing-$_", { $s->as(player => $reader) }) for 1 .. 3;
    is(counted(route => 'none', status => 404) - $none, 3, 'what is no route shares one');
};

# Two lanes see it, in as many processes, and it is verified once.
subtest 'tokens' => sub {
    my $before = $s->metric_sum('battlepass_token_signatures_checked_total');
    my $reader = $s->fresh_player;
    is(progress($s, $reader, as => [ player => $reader ])->{status}, 200, 'a new token') for 1 .. 5;
    $s->redis('DEL', cache_key($s, $reader));
    is(progress($s, $reader, as => [ player => $reader ])->{status}, 200, 'the same') for 1 .. 5;
    is($s->metric_sum('battlepass_token_signatures_checked_total') - $before, 1, 'one signature was checked');
    is(api($s, 'GET', "/v1/seasons/$season/players/me/progress", { Authorization => 'Bearer a.b.c' })->{status}, 401, 'rubbish');
    is($s->metric_sum('battlepass_token_signatures_checked_total') - $before, 2, 'is looked at each time');
};

subtest 'durations' => sub {
    my $metrics = $s->metrics;
    my @sums = grep { /^battlepass_request_duration_seconds_sum/ } keys %$metrics;
    ok(@sums > 1, 'there are some');
    for my $sum (@sums) {
        my $count = $metrics->{ $sum =~ s/_sum/_count/r };
        my ($last) = $sum =~ /\{(.*)\}/;
        is($metrics->{"battlepass_request_duration_seconds_bucket{$last,le=\"+Inf\"}"}, $count, "$last: +Inf holds all");
        cmp_ok($metrics->{$sum} / $count, '>', 0, 'it takes time') or diag($sum);
        cmp_ok($metrics->{$sum} / $count, '<', 2, 'and less than 2 s');
    }
};

subtest 'grants and batches' => sub {
    my %before = %{ $s->metrics };
    my $gamer = $s->fresh_player;
    batch($s, [ map { { player => $gamer, amount => 50, source => 'match', idempotency_key => fresh_key() } } 1 .. 5 ]);
    my $after = $s->metrics;
    my $rose = sub { my ($name) = @_; return ($after->{"battlepass_$name"} // 0) - ($before{"battlepass_$name"} // 0) };
    is($rose->('xp_grants_total'), 5, 'grants');
    is($rose->('xp_grant_batch_grants_count'), 1, 'one batch');
    is($rose->('xp_grant_batch_grants_sum'), 5, 'of five');
    is($rose->('xp_grant_batch_grants_bucket{le="4.0"}'), 0, 'which are more than four');
    is($rose->('xp_grant_batch_grants_bucket{le="8.0"}'), 1, 'and fewer than eight');
    cmp_ok($rose->('store_transaction_writes_sum'), '>=', 5, 'writes of transactions');
    cmp_ok($rose->('store_duration_seconds_count{statement="commit"}'), '>=', 1, 'a COMMIT was timed');
};

subtest 'claims, resets and purchases' => sub {
    my $other = 'counted-' . fresh_key() =~ tr/A-Za-z0-9//cdr;
    publish_season($s, small_season($other));
    my $buyer = $s->fresh_player;
    my $before = $s->metrics;
    my $rose = sub { my ($name) = @_; return ($s->metrics->{"battlepass_$name"} // 0) - ($before->{"battlepass_$name"} // 0) };
    my $call = sub {
        my ($method, $path, $as, $body) = @_;
        return api($s, $method, $path, { $s->as(@$as), 'Idempotency-Key' => fresh_key() }, $body)->{status};
    };
    my $mine = "/v1/seasons/$other/players/$buyer";
    grant($s, $buyer, 250, season => $other);
    is($call->('POST', "$mine/claims", [ player => $buyer ], { all => JSON::PP::true }), 200, 'two rewards claimed');
    is([ map { $rose->($_) } qw(claims_total claimed_rewards_total) ], [ 1, 2 ], 'one claim of two rewards');
    is($call->('POST', "$mine/claims", [ player => $buyer ], { all => JSON::PP::true }), 200, 'nothing is left');
    is([ map { $rose->($_) } qw(claims_total claimed_rewards_total) ], [ 2, 2 ], 'a claim of nothing');
    $s->economy('PUT', "/sandbox/wallets/$buyer", { currency => 'gems', balance => 100 });
    is($call->('POST', "$mine/purchases", [ player => $buyer ], { pass => 'gold' }), 201, 'a pass bought');
    is([ map { $rose->($_) } 'purchases_total{state="granted"}', 'conversions_total' ], [ 1, 1 ], 'granted, and the first of this player');
    my $care = "/v1/admin/seasons/$other/players/$buyer/reset";
    is($call->('POST', $care, ['support'], { reason => 'a test', claims => 'keep', validate_only => JSON::PP::true }), 200, 'a reset that only would be');
    is($rose->('resets_total'), 0, 'is none');
    is($call->('POST', $care, ['support'], { reason => 'a test', claims => 'keep' }), 200, 'a reset');
    is($rose->('resets_total'), 1, 'counted');
};

subtest 'vitals' => sub {
    ok($s->wait_until(8, sub { $s->metrics->{battlepass_private_memory_bytes} && $s->metrics->{battlepass_redis_keys} }), 'are said within seconds');
    my $metrics = $s->metrics;
    cmp_ok($metrics->{battlepass_private_memory_bytes}, '>', 1 << 20, 'more than a MiB');
    cmp_ok($metrics->{battlepass_private_memory_bytes}, '<', 1 << 30, 'less than a GiB');
    my $differs = sub {
        my ($used) = $s->redis('INFO', 'memory') =~ /^used_memory:(\d+)/m;
        return abs($s->metrics->{battlepass_redis_memory_bytes} - $used);
    };
    ok($s->wait_until(8, sub { $differs->() < 4 << 20 }), 'about what Redis says');
    cmp_ok(abs(time - $metrics->{battlepass_start_time_seconds}), '<', 3600, 'started not long ago');
    my ($version) = `$s->{env}{BATTLEPASSCTL} --version` =~ /([\d.]+)/;
    is($metrics->{"battlepass_build_info{version=\"$version\"}"}, 1, "version $version");
};

subtest 'battlepassctl top' => sub {
    my $url = $s->metrics_url . '/metrics';
    my $reader = $s->fresh_player;
    progress($s, $reader);
    $s->wait_until(2, sub { from_cache(progress($s, $reader)) });
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        progress($s, $reader) while 1;
    }
    my ($status, $text) = $s->ctl('top', '--url', $url, '--every', 1, '--once');
    kill 'KILL', $pid;
    waitpid $pid, 0;
    is($status, 0, 'exit status');
    my ($rate, @quantiles) = $text =~ m{^progress, cache +([\d.]+)/s +([\d.]+)ms +([\d.]+)ms +([\d.]+)ms$}m;
    cmp_ok($rate // 0, '>', 10, 'cached reads') or diag($text);
    ok(@quantiles == 3 && $quantiles[0] <= $quantiles[1] && $quantiles[1] <= $quantiles[2] && $quantiles[2] > 0, 'their p50, p95 and p99') or diag($text);
    like($text, qr{^hits +100\.0 %   breaker closed   distrusted 0$}m, 'hit ratio and breaker');
    like($text, qr{^store lane +[\d.]+ processes busy   database up$}m, 'the database');
    like($text, qr{^progress, store +0\.0/s +- +- +-$}m, 'nothing from the store');
    like($text, qr{^memory +[\d.]+ MiB private   Redis [\d.]+ of \d+ MiB, \d+ keys$}m, 'memory');
    is([ $s->ctl('top', '--url', $url =~ s/metrics$/livez/r, '--once') ], [ 1, match qr/not battlepassd's/ ], 'another page');
    is([ $s->ctl('top', '--url', 'http://127.0.0.1:1/metrics', '--once') ], [ 1, match qr/127\.0\.0\.1:1/ ], 'nobody there');
    is([ $s->ctl('top', '--every', 0) ], [ 1, match qr/1 to 3600/ ], 'no interval');
};

done_testing;
